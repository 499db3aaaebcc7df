"""What the training verbs' options take, as argparse types."""

import argparse

LARGEST_NUMBER = 1e12
LARGEST_COUNT = 2**63 - 1
MOST_PROCESSES = 1024


def above_zero(text: str) -> float:
    """A number above 0, as an argparse type."""
    value = float(text)
    if not 0 < value < LARGEST_NUMBER:
        raise argparse.ArgumentTypeError(f"{text} must be above 0, and finite")
    return value


def count(text: str) -> int:
    """A whole number, 0 or more, as an argparse type."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} must not be negative")
    if value > LARGEST_COUNT:
        raise argparse.ArgumentTypeError(f"{text} is too large")
    return value


def processes(text: str) -> int:
    """A number of worker processes, as an argparse type."""
    value = count(text)
    if value > MOST_PROCESSES:
        raise argparse.ArgumentTypeError(f"{text} must not be above {MOST_PROCESSES}")
    return value
