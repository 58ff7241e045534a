"""The command line. Module level imports neither torch nor NumPy; each command imports what it needs."""

from balancebench.cli.main import main

__all__ = ["main"]
