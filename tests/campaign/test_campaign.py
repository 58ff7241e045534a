"""One round of every disturbance; `python tests/campaign` does more."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_what_is_disturbed_ends_as_what_was_not_or_says_what_is_wrong():
    command = [sys.executable, str(Path(__file__).parent), "--rounds", "1", "--seed", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
