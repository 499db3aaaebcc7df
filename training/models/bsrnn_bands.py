"""How BSRNN cuts a spectrogram into bands (BSRNN V-A), and which bands are computed together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

LIKE = 1.25  # bands whose widths differ by at most this factor, or by one bin, are computed as one

# Each scheme: up to so many Hz, bands so many Hz wide, …; what lies above is the last band.
SCHEMES: dict[str, tuple[int, ...]] = {
    "v1": (21_000, 1000),
    "v2": (16_000, 1000, 20_000, 2000),
    "v3": (8000, 1000, 16_000, 2000, 20_000, 4000),
    "v4": (1000, 100, 8000, 1000, 16_000, 2000, 20_000, 4000),
    "v5": (1000, 100, 16_000, 1000, 20_000, 2000),
    "v6": (1000, 100, 4000, 500, 8000, 1000, 16_000, 2000, 20_000, 4000),
    "v7": (1000, 100, 4000, 250, 8000, 500, 16_000, 1000, 20_000, 2000),
    "bass": (500, 50, 1000, 100, 4000, 500, 8000, 1000, 16_000, 2000),
    "drum": (1000, 50, 2000, 100, 4000, 250, 8000, 500, 16_000, 1000),
}
SCHEMES["other"] = SCHEMES["v7"]


def edges_hz(scheme: Sequence[int]) -> list[int]:
    """Where one band ends and the next begins, in Hz, from 0 on; the last band has no end.

    Raises ValueError where the scheme is not pairs of a rising limit and a width that divides it.
    """
    if not scheme or len(scheme) % 2:
        raise ValueError("bands must be pairs: up to so many Hz, bands so many Hz wide, …")
    edges = [0]
    for limit, width in zip(scheme[::2], scheme[1::2], strict=True):
        if width <= 0 or limit <= edges[-1] or (limit - edges[-1]) % width:
            raise ValueError(
                f"bands from {edges[-1]} Hz up to {limit} Hz cannot be {width} Hz wide"
            )
        edges += range(edges[-1] + width, limit + 1, width)
    return edges


def widths(scheme: Sequence[int], n_fft: int, sample_rate: int) -> tuple[int, ...]:
    """Bins of each band; they sum to n_fft / 2 + 1.

    A bin belongs to the band in which its frequency lies, so V7 begins 5 5 4 5 5 4 and ends
    92 93 96 at 44.1 kHz. Bands above half the sample rate are left out. Raises ValueError where a
    band would have no bin.
    """
    bins = n_fft // 2 + 1
    starts = [-(-edge * n_fft // sample_rate) for edge in edges_hz(scheme)]
    starts = [start for start in starts if start < bins]
    found = tuple(after - before for before, after in pairwise((*starts, bins)))
    if min(found) < 1:
        raise ValueError(
            f"a band of bands would be narrower than a bin of n_fft {n_fft} at {sample_rate} Hz"
        )
    return found


@dataclass(frozen=True)
class Group:
    """Neighbouring bands of like width, which are padded to the widest and computed as one."""

    widths: tuple[int, ...]  # bins of each band
    widest: int  # bins that each band is padded to


def groups(band_widths: Sequence[int], like: float = LIKE) -> list[Group]:
    """Bands, in order, in as few groups as their widths allow: five for V7."""
    found: list[list[int]] = []
    for width in band_widths:
        held = [*found[-1], width] if found else [width]
        if found and max(held) <= max(like * min(held), min(held) + 1):
            found[-1] = held
        else:
            found.append([width])
    return [Group(tuple(held), max(held)) for held in found]


def places(band_groups: Sequence[Group], values: int) -> list[int]:
    """Where each place of the padded layout gets its value from, with `values` values a bin.

    The layout is the groups in order, in each its bands, in each the band's values and then
    padding up to the group's widest, which is -1.
    """
    found: list[int] = []
    first = 0
    for group in band_groups:
        for width in group.widths:
            found += range(first, first + values * width)
            found += [-1] * (values * (group.widest - width))
            first += values * width
    return found
