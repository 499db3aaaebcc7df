"""An unlabelled track → the fixed segments of it in which something sounds. Free of Beam.

A track is decoded once, in a process that may die, into a nameless file; its activity is measured
as a whole (BSRNN paper, IV-B: "also passed to the source activity detector to remove silent
segments"); then its segments come out in stretches, each a few batches long, so that a track's
length costs no memory. Which segments lie in a stretch depends on the track alone.
"""

import dataclasses
import math
import queue
from dataclasses import dataclass

import numpy as np

from pipelines.samples.recordings import Unusable
from stemlode import audio
from stemlode.audio import AudioError, activity
from stemlode.audio.containers.info import check_whole
from stemlode.audio.decoding import Decoder, Samples
from stemlode.audio.kinds import is_lossless
from stemlode.ids import digest
from stemlode.retry import reach

_TOUCH_S = 1e-3  # what a segment and a salient window must share
_STRETCH_SEGMENTS = 32  # at least, where a track has as many
_READ_FRAMES = 1 << 19


@dataclass(frozen=True)
class Cut:
    """How tracks are cut: the same for a whole run."""

    sample_rate: int
    channels: int
    segment_s: float
    window_s: float  # of the activity detector; 0 takes every segment
    batch_size: int
    lossless_only: bool
    activity_threshold: str = activity.RELATIVE  # as in `stemlode.audio.activity`
    offset_seed: int | None = None  # of where a track's first segment begins; None: at its start

    @property
    def frames(self) -> int:
        """Of a segment."""
        return max(1, round(self.segment_s * self.sample_rate))

    @property
    def stretch(self) -> int:
        """Segments in a stretch: whole batches."""
        return self.batch_size * max(1, _STRETCH_SEGMENTS // self.batch_size)


@dataclass(frozen=True)
class Segmented:
    """A decoded track, and the first frames of its segments that are not silent.

    `ended` is false where its file lacks the mark of an end that its format asks for.
    """

    samples: Samples
    active: list[int]
    segments: int  # all of them
    ended: bool = True


class Segmenter:
    """Decodes tracks, each of its threads with a process of its own."""

    def __init__(self, cut: Cut) -> None:
        self.cut = cut
        self._idle: queue.SimpleQueue[Decoder] = queue.SimpleQueue()

    def hear(
        self,
        uri: str,
        duration_s: float = math.nan,
        duration_source: str | None = None,
        track_id: str = "",
    ) -> Segmented:
        """A track by where it lies, and how long it is by a catalogue. Raises AudioError where it
        cannot be used, Unreachable where it cannot be had."""
        if not uri:
            raise AudioError("no audio_uri", "no_audio_uri")
        if self.cut.lossless_only:
            _check_lossless(uri)
        try:
            decoder = self._idle.get_nowait()
        except queue.Empty:
            decoder = Decoder(self.cut.sample_rate, channels=self.cut.channels)
        try:
            decoded = reach(lambda: decoder.decode(uri))
        finally:
            self._idle.put(decoder)
        check_whole(decoded.duration_s, duration_s, duration_source)
        found = heard(decoded.samples, self.cut, track_id)
        return dataclasses.replace(found, ended=decoded.ended)

    def close(self) -> None:
        """End the processes."""
        while not self._idle.empty():
            self._idle.get_nowait().close()


def heard(samples: Samples, cut: Cut, track_id: str = "") -> Segmented:
    """A decoded track's segments; Unusable where it is too short or silent throughout."""
    spare = len(samples) - cut.frames
    if spare < 0:
        length = len(samples) / cut.sample_rate
        raise Unusable(f"{length:.2f} s: a segment takes {cut.segment_s:g} s", "too_short")
    begin = _offset(track_id, min(spare + 1, cut.frames), cut.offset_seed)
    firsts = list(range(begin, spare + 1, cut.frames))
    whole = len(firsts)
    if cut.window_s:
        meter = activity.Meter(cut.sample_rate, cut.window_s)
        for start in range(0, len(samples), _READ_FRAMES):
            meter.add(samples[start : start + _READ_FRAMES])
        energies = meter.energies()
        found = activity.starts(energies, cut.sample_rate, cut.window_s, cut.activity_threshold)
        windows = np.array(found)
        firsts = [first for first in firsts if _touches(first, windows, cut)]
    if not firsts:
        raise Unusable(
            "nothing is salient anywhere in it (--window-seconds 0 takes every segment)",
            "silent",
        )
    return Segmented(samples, firsts, whole)


def _offset(track_id: str, among: int, seed: int | None) -> int:
    """The first frame of a track's first segment, one of so many. With another seed the segments
    of a track begin elsewhere."""
    return 0 if seed is None else int(digest(str(seed), track_id)[:12], 16) % among


def mixtures(samples: Samples, firsts: list[int], cut: Cut) -> np.ndarray:
    """Segments by their first frames, float32 [segments, channels, frames]."""
    pieces = [np.atleast_2d(samples[first : first + cut.frames]) for first in firsts]
    return np.stack(pieces)


def stretches(firsts: list[int], cut: Cut) -> list[list[int]]:
    """A track's segments, by whole batches but for the last ones."""
    return [firsts[at : at + cut.stretch] for at in range(0, len(firsts), cut.stretch)]


def _touches(first: int, windows: np.ndarray, cut: Cut) -> bool:
    """Whether a segment lies in a salient window, of which the starts are given in seconds."""
    begin, end = first / cut.sample_rate, (first + cut.frames) / cut.sample_rate
    met = (windows < end - _TOUCH_S) & (windows + cut.window_s > begin + _TOUCH_S)
    return bool(met.any())


def _check_lossless(uri: str) -> None:
    """Unusable where a file's header names a lossy codec."""
    kind = reach(lambda: audio.probe(uri)).format
    if not is_lossless(kind):
        raise Unusable(f"{kind}: not lossless", "lossy")
