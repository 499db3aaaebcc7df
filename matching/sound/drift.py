"""Two recordings of which one runs faster: their offset is a line over time."""

from dataclasses import dataclass

import numpy as np

from matching.sound.signals import Signal, read


@dataclass(frozen=True)
class Line:
    """mixture(t) ≈ instrumental(t + offset + slope · (t − middle)); all in one unit of time.

    The slope is how much the offset grows in a unit of time.
    """

    offset: float
    slope: float = 0.0
    middle: float = 0.0

    def at(self, time: float | np.ndarray) -> float | np.ndarray:
        """The offset at some time of the mixture."""
        return self.offset + self.slope * (time - self.middle)

    def scaled(self, factor: float) -> "Line":
        """The same in another unit of time."""
        return Line(self.offset * factor, self.slope, self.middle * factor)

    @property
    def drift_ppm(self) -> float:
        """How much faster the instrumental runs, in millionths."""
        return 0.0 - self.slope / (1 + self.slope) * 1e6


class Warped:
    """An instrumental at a mixture's speed: frame n is its frame n + line.at(n), interpolated.

    Cubic (Catmull-Rom); good for comparing, not for listening.
    """

    def __init__(self, signal: Signal, line: Line, length: int) -> None:
        self.signal, self.line, self.length = signal, line, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, part: slice, /) -> np.ndarray:
        start, stop, _ = part.indices(self.length)
        frames = np.arange(start, max(start, stop))
        if not len(frames):
            return np.zeros(0, np.float32)
        places = frames + self.line.at(frames.astype(np.float64))
        base = np.floor(places).astype(np.int64)
        t = (places - base).astype(np.float32)
        near = read(self.signal, int(base[0]) - 1, int(base[-1]) + 3)
        a, b, c, d = (near[base - base[0] + k] for k in range(4))
        return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def fit(times: np.ndarray, offsets: np.ndarray, weights: np.ndarray, within: float) -> np.ndarray:
    """Which of the points lie on the line that most of them share, as bool [points].

    Every line through two points, and every flat one through one, is tried; the one with the
    most weight within `within` of it wins. A flat one wins a tie.
    """
    i, k = np.triu_indices(len(times), 1)
    apart = times[k] != times[i]
    i, k = i[apart], k[apart]
    slopes = np.concatenate(
        [np.zeros(len(times)), (offsets[k] - offsets[i]) / (times[k] - times[i])]
    )
    starts = np.concatenate([offsets, offsets[i] - slopes[len(times) :] * times[i]])
    near = np.abs(starts[:, None] + slopes[:, None] * times - offsets) <= within
    return near[int((near * weights).sum(axis=1).argmax())]


def least_squares(
    times: np.ndarray, offsets: np.ndarray, weights: np.ndarray, middle: float
) -> tuple[Line, float]:
    """The weighted line through points, and the standard error of its slope."""
    total = weights.sum()
    centre = (weights * times).sum() / total
    mean = (weights * offsets).sum() / total
    spread = (weights * (times - centre) ** 2).sum()
    if len(times) < 3 or spread <= 0:
        return Line(float(mean), 0.0, middle), float("inf")
    slope = (weights * (times - centre) * (offsets - mean)).sum() / spread
    rest = offsets - mean - slope * (times - centre)
    error = np.sqrt((weights * rest**2).sum() / spread / (len(times) - 2))
    return Line(float(mean + slope * (middle - centre)), float(slope), middle), float(error)
