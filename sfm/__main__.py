"""`python -m sfm` is the `sfm` command."""

from sfm.cli import main

if __name__ == "__main__":
    main()
