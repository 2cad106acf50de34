"""`python -m rlzoo` is the command `rlzoo`."""

from rlzoo.cli import main

if __name__ == "__main__":
    main()
