"""The watch under its former name."""

import sys

from sails.jobs.watch.__main__ import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
