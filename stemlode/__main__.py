"""`python -m stemlode VERB …`: the same as `stemlode VERB …`."""

import sys

from stemlode.cli import main

if __name__ == "__main__":
    sys.exit(main())
