"""`python -m balancebench` is the command `balancebench`."""

from balancebench.cli import main

main()
