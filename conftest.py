"""Of tests that run side by side each keeps to one core: two times two threads on two cores wait for each other."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch and NumPy are first imported
