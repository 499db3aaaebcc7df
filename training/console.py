"""What a run says to whoever watches it."""

import sys

from tqdm import tqdm


def tell(line: str) -> None:
    """A line for the user that does not break the progress bar."""
    tqdm.write(f"train: {line}", file=sys.stderr)
