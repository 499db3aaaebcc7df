"""Numbers that spread rows over buckets and find rows that may be equal, at the speed of bytes."""

import numpy as np
import pyarrow as pa

from matching.text_rows import string_bytes

BLOCK_ROWS = 1 << 13
_BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2^64
_INVERSE = pow(_BASE, -1, 1 << 64)


def row_hashes(*columns: pa.Array) -> np.ndarray:
    """A number for each row of string columns, uint64 [rows]: equal where all texts are equal.

    The same on any machine. Different rows seldom share one by chance, but may by malice: what
    has to be exact must compare the texts. A null's number means nothing.
    """
    total = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        blocks = [
            _block_hashes(column.slice(start, BLOCK_ROWS))
            for start in range(0, len(column), BLOCK_ROWS)
        ]
        total = _mixed(total + np.concatenate([np.empty(0, np.uint64), *blocks]))
    return total


def _block_hashes(texts: pa.Array) -> np.ndarray:
    """A polynomial in each row's bytes, modulo 2^64."""
    data, offsets = string_bytes(texts)
    sums = np.zeros(data.size + 1, np.uint64)
    np.cumsum((data + np.uint64(1)) * _powers(_BASE, data.size), out=sums[1:])
    starts, ends = offsets[:-1], offsets[1:]
    # Dividing by the power at a row's start makes its sum independent of where it lies.
    return (sums[ends] - sums[starts]) * _powers(_INVERSE, data.size + 1)[starts]


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Let every bit depend on every other (the finaliser of splitmix64)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


_POWERS: dict[int, np.ndarray] = {}


def _powers(base: int, count: int) -> np.ndarray:
    """1, base, base², … modulo 2^64, kept for the next call."""
    known = _POWERS.get(base)
    if known is None or known.size < count:
        factors = np.full(max(count, 1 << 16), base, np.uint64)
        factors[0] = 1
        known = _POWERS[base] = np.cumprod(factors)
    return known[:count]
