"""`python -m sails`: the same as the command `sails`."""

import sys

from sails.cli import main

if __name__ == "__main__":
    sys.exit(main())
