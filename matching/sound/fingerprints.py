"""Which recordings are the same one, by their sound: constellations of spectral peaks. No Beam.

Peaks of the spectrogram survive coding, level and equalisation; two peaks and the time between
them are a landmark. Recordings that share many landmarks, all at one and the same shift in time,
are one recording. Of all landmarks every recording keeps the same sixteenth, chosen by their
values, so that what is compared stays small and common ones stay common.
(After A. Wang, An industrial-strength audio search algorithm, ISMIR 2003.)
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby

import numpy as np
from scipy import ndimage

from matching.sound.signals import magnitudes, stft

RATE = 8000  # Hz
HOP = 256  # 32 ms
_WINDOW = 1024
_BLOCK = 4096  # frames
_NEAR = (15, 25)  # frames, bins: one peak in each neighbourhood
_FAN = 5  # landmarks that begin at a peak
_LONGEST = 63  # frames between the peaks of a landmark
_FLOOR = 0.01  # of the loudest magnitude: what is softer is no peak
_KEEP_ONE_IN = 16
_MIXER = 0x9E3779B1  # spreads neighbouring values
SHARED_AT_LEAST = 12  # landmarks at one shift
SHARED_SHARE = 0.05  # of the landmarks of the one that has fewer
COMMONEST = 100  # a landmark that more recordings hold tells nothing
OFTENEST = 8  # times that a landmark counts in one recording: loops would coincide all over


def landmarks(blocks: Iterable[np.ndarray]) -> list[tuple[int, int]]:
    """(value, frame) of the landmarks kept of a mono signal at RATE; frames are HOP long.

    The signal comes in blocks [frames] of any length; two minutes of it are held at a time.
    """
    frames, bins = _peaks(blocks)
    if len(frames) < 2:
        return []
    found = []
    for step in range(1, _FAN + 1):
        apart = frames[step:] - frames[:-step]
        value = (bins[:-step] * 512 + bins[step:]) * 64 + apart
        kept = (apart > 0) & (apart <= _LONGEST) & (_mixed(value) % _KEEP_ONE_IN == 0)
        found += list(zip(value[kept].tolist(), frames[:-step][kept].tolist(), strict=True))
    return sorted(set(found))


def coincidences(held: Iterable[tuple[str, int]]) -> list[tuple[str, str, int]]:
    """(recording, recording, shift in frames) for all who hold a landmark: (recording, frame)."""
    by_name = [[*group] for _, group in groupby(sorted(set(held)), key=lambda one: one[0])]
    if len(by_name) > COMMONEST:
        return []
    known = [one for group in by_name for one in group[:OFTENEST]]
    return [
        (first, second, at_second - at_first)
        for number, (first, at_first) in enumerate(known)
        for second, at_second in known[number + 1 :]
        if first != second
    ]


def enough(shared: int, first: int, second: int) -> bool:
    """Whether so many landmarks at one shift, of so many in each, mean the same recording."""
    return shared >= max(SHARED_AT_LEAST, SHARED_SHARE * min(first, second))


def reason(shared: int, shift: int) -> str:
    """Why two recordings are taken for one, in a phrase."""
    return f"sounds the same: {shared} landmarks at a shift of {shift * HOP / RATE:+.2f} s"


def same(sketches: Mapping[str, list[tuple[int, int]]]) -> list[tuple[str, str, str]]:
    """(name, name, why) of all pairs among a few recordings that are the same."""
    holders: dict[int, list[tuple[str, int]]] = {}
    for name, sketch in sketches.items():
        for value, frame in sketch:
            holders.setdefault(value, []).append((name, frame))
    shared = Counter(found for held in holders.values() for found in coincidences(held))
    most: dict[tuple[str, str], tuple[int, int]] = {}
    for (first, second, shift), count in shared.items():
        if enough(count, len(sketches[first]), len(sketches[second])):
            most[first, second] = max(most.get((first, second), (0, 0)), (count, -shift))
    return [(a, b, reason(count, -minus)) for (a, b), (count, minus) in sorted(most.items())]


def _peaks(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Frames and bins of the spectrogram's peaks, int64, in order of time."""
    signal = _Passing(blocks)
    found, loudest, first = [], 0.0, 0
    while True:  # a neighbourhood's half more, so that no edge shows
        begin = max(0, first - _NEAR[0])
        wanted = _BLOCK + 2 * _NEAR[0]
        signal.move(begin * HOP - _WINDOW, (begin + wanted) * HOP + _WINDOW)
        count = 1 + len(signal) // HOP
        if first and first >= count:
            break
        spectrum = magnitudes(stft(signal, begin, min(wanted, count - begin), _WINDOW, HOP))
        spectrum = spectrum[:, : _WINDOW // 2]
        spectrum[:, :8] = 0  # hum and rumble
        top = (ndimage.maximum_filter(spectrum, _NEAR) == spectrum) & (spectrum > 0)
        at, bins = np.nonzero(top)
        inside = (at + begin >= first) & (at + begin < first + _BLOCK)
        at, bins = at[inside], bins[inside]
        loudest = max(loudest, float(spectrum.max(initial=0.0)))
        found.append((at + begin, bins, spectrum[at, bins]))
        first += _BLOCK
    frames_, bins_, levels = (np.concatenate([part[n] for part in found]) for n in range(3))
    heard = levels > _FLOOR * loudest
    return frames_[heard].astype(np.int64), bins_[heard].astype(np.int64)


class _Passing:
    """A signal that arrives in blocks and of which only some is held at a time."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        self._blocks = iter(blocks)
        self._held, self._begin = np.zeros(0, np.float32), 0

    def move(self, begin: int, end: int) -> None:
        """Hold from frame `begin` on, up to `end` at least, or the signal's end."""
        passed = min(max(0, begin - self._begin), len(self._held))
        self._held, self._begin = self._held[passed:], self._begin + passed
        parts, reached = [self._held], len(self)
        while reached < end and (block := next(self._blocks, None)) is not None:
            parts.append(np.asarray(block, np.float32))
            reached += len(block)
        self._held = np.concatenate(parts)

    def __len__(self) -> int:
        """Frames that have arrived: all of the signal, where these are fewer than were wanted."""
        return self._begin + len(self._held)

    def __getitem__(self, part: slice, /) -> np.ndarray:
        start, stop, _ = part.indices(len(self))
        return self._held[start - self._begin : max(start, stop) - self._begin]


def _mixed(values: np.ndarray) -> np.ndarray:
    return (values.astype(np.uint64) * np.uint64(_MIXER) & np.uint64(0xFFFFFFFF)) >> np.uint64(13)
