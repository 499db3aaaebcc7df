"""Excerpts of files; of instrumentals also on a clock of their own, as `prune` mended it. Free of
Beam."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from matching.sound.repairs import varispeed
from matching.sound.repairs.clock import Part, parts_of
from stemlode import audio
from stemlode.audio import AudioError

_STEP = 1 << 15  # frames that are read between samples at a time


def excerpt(
    uri: str, start_s: float, seconds: float, sample_rate: int, *, mono: bool = False
) -> np.ndarray:
    """[channels, frames] of a file from `start_s` on, silence before its beginning.

    Nothing after the excerpt is decoded. Shorter where the file ends; raises AudioError where it
    holds nothing there, or cannot be read.
    """
    first, last = round(start_s * sample_rate), round((start_s + seconds) * sample_rate)
    taken: list[np.ndarray] = []
    at = 0
    for block in audio.blocks(uri, sample_rate=sample_rate, mono=mono):
        samples = block.samples
        taken.append(samples[:, max(0, first - at) : max(0, last - at)])
        at += samples.shape[1]
        if at >= last:
            break
    sound = np.concatenate(taken, axis=1)
    if not sound.shape[1]:
        raise AudioError("the excerpt lies past the end")
    return np.pad(sound, ((0, 0), (max(0, -first), 0)))


def parts(clock: Iterable[Sequence[float]] | None) -> tuple[Part, ...]:
    """A pair's parts, from the column `clock`; none where it has no clock, or a damaged one."""
    try:
        return tuple(parts_of(clock or ()))
    except (TypeError, ValueError):
        return ()


def on_clock(
    uri: str,
    found: Sequence[Part],
    start_s: float,
    seconds: float,
    sample_rate: int,
    *,
    mono: bool = False,
) -> np.ndarray:
    """An instrumental as it lies in its mixture from a time of the mixture on, float32 [channels,
    frames]: silence between parts, and where it has nothing.

    Raises AudioError where it cannot be read, or has nothing at all there.
    """
    frames = round(seconds * sample_rate)
    sound = np.zeros((1, 0), np.float32)
    for part in found:
        begin, end = 0, frames
        if len(found) > 1:
            begin, end = (
                min(frames, max(0, math.ceil((edge - start_s) * sample_rate)))
                for edge in (part.begin_s, part.end_s)
            )
        if begin >= end:
            continue
        samples = _moved(uri, part, start_s, (begin, end), sample_rate, mono)
        if not sound.shape[1]:
            sound = np.zeros((len(samples), frames), np.float32)
        sound[:, begin:end] = samples
    return sound


def _moved(
    uri: str, part: Part, start_s: float, edges: tuple[int, int], rate: int, mono: bool
) -> np.ndarray:
    begin, end = edges
    places = part.at(start_s + np.arange(begin, end) / rate) * rate
    reach = varispeed.half_of(1.0, varispeed.COARSE) + 1
    first, last = math.floor(places[0]) - reach, math.ceil(places[-1]) + reach + 1
    read = excerpt(uri, first / rate, (last - first) / rate, rate, mono=mono)
    read = np.pad(read, ((0, 0), (0, max(0, last - first - read.shape[1]))))
    steps = (places[at : at + _STEP] for at in range(0, len(places), _STEP))
    found = [
        varispeed.interpolated(read, step, half=varispeed.COARSE, start=first) for step in steps
    ]
    return np.concatenate(found, axis=1)
