"""Sums of squares, which are exact for integers and the same on every machine. No I/O."""

import numpy as np

BLOCK = 1 << 15  # samples that are summed at a time, in the processor's cache


def sum_squares(samples: np.ndarray) -> float:
    """Σx² over all samples of an array of int16, of int32 that hold 24 bits, or of floats.

    Integers' sums come as an exact int.
    """
    flat = samples.ravel(order="K")
    total: float = 0 if np.issubdtype(samples.dtype, np.integer) else 0.0
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        if block.dtype == np.int32:
            total += int(np.sum(np.square(block, dtype=np.int64)))
        else:  # below 2^53 every sum of 16 bit's squares is exact, in any order
            wide = block.astype(np.float64)
            found = np.einsum("i,i->", wide, wide)  # on this thread alone, unlike `@`
            total += int(found) if block.dtype == np.int16 else float(found)
    return total
