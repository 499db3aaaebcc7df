"""`python -m stemlode VERB …`: the same as `stemlode VERB …`."""

import sys

from stemlode.cli import program

if __name__ == "__main__":
    sys.exit(program())
