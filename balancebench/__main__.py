"""`python -m balancebench` is the command `balancebench`."""

from balancebench.cli import main

if __name__ == "__main__":
    main()
