"""A pair on one clock, cut into chunks, with the vocals where they can be had. No Beam."""

import math
from collections.abc import Iterator

import numpy as np

from pipelines.samples import chunks, residuals
from pipelines.samples.chunks import AlignedSource
from pipelines.samples.recordings import Facts, Recording, Shape, Unusable
from pipelines.samples.residuals import Lie
from stemlode.audio import AudioError

MEASURED_S = 60.0  # of the sound from which the delay is found
SPAN_SLACK_S = 3.0  # that a chunk may stick out of a matched span: a segment of prune's
Chunks = Iterator[tuple[int, tuple[dict[str, np.ndarray], float]]]


def pair_chunks(
    recording: Recording, rate: int, shape: Shape, chunk_frames: int, facts: Facts
) -> Chunks:
    """First frame in the mixture's file, (integers, scale) of a pair's chunks.

    A chunk holds `vocals` = mixture − accompaniment, to the last bit, where the pair drifts by no
    more than residuals.MOST_DRIFT_PPM, where its residual at the corpus' rate is coherent by the
    measure of `prune`, where the chunk matched, and where it shows no delay of its own; for others
    the vocals' magnitudes are known alone.
    """
    _check(recording)
    delay = _delay(recording, rate, shape) if _promising(recording) else None
    sources, first = _sources(recording, rate, delay or 0.0)  # magnitudes need no part of a frame
    cut = chunks.cut(sources, sample_rate=rate, channels=shape.channels, chunk_frames=chunk_frames)
    for number, chunk in enumerate(cut):
        at = first + number * chunk_frames
        sums: dict[str, dict[str, int]] = {}
        if delay is not None and _fits(recording, chunk, at / rate, rate):
            sums = {"vocals": {"mixture": 1, "accompaniment": -1}}
            facts.residual_chunks += 1
        yield at, chunks.quantise(chunk, sums, shape.flac_bits)


def _check(recording: Recording) -> None:
    placed = (recording.offset_s, recording.gain_db)
    if not all(part.uri for name in recording.parts for part in recording.parts[name]):
        raise AudioError("no audio_uri", "no_audio_uri")
    if not all(math.isfinite(value) for value in placed) or recording.polarity not in (1, -1):
        raise Unusable(f"cannot be aligned by offset and gain {placed}", "misaligned")


def _sources(recording: Recording, rate: int, delay: float) -> tuple[list[AlignedSource], int]:
    """Both recordings, `delay` frames beyond what prune's offset is to the nearest frame."""
    (mixture,), (accompaniment,) = recording.parts["mixture"], recording.parts["accompaniment"]
    return chunks.aligned_pair(
        mixture.uri,
        accompaniment.uri,
        offset_frames=round(recording.offset_s * rate) + delay,
        gain_db=recording.gain_db,
        polarity=recording.polarity,
    )


def _promising(recording: Recording) -> bool:
    """Whether a single offset may turn the pair into a vocal.

    That `prune` found it incoherent says little: at 8 kHz half a period is soon missed.
    """
    drift = abs(recording.drift_ppm or 0.0)
    return recording.coherent is not None and drift <= residuals.MOST_DRIFT_PPM


def _delay(recording: Recording, rate: int, shape: Shape) -> float | None:
    """Frames that `prune`'s offset, to a whole frame, is off; None where that cannot be told, or
    where more than a voice is left over."""
    sources, first = _sources(recording, rate, 0.0)
    begin = round((recording.matched_spans or ((0.0, 0.0),))[0][0] * rate)
    skipped, frames = max(0, begin - first), 4 * residuals.N_FFT
    last = skipped + round(MEASURED_S * rate)
    held: list[np.ndarray] = []
    cut = chunks.cut(sources, sample_rate=rate, channels=shape.channels, chunk_frames=frames)
    for number, chunk in enumerate(cut):
        if number * frames >= last:
            break
        if (number + 1) * frames > skipped:
            both = [chunk[name].mean(axis=0) for name in ("mixture", "accompaniment")]
            held.append(np.stack(both))
    return residuals.delay(np.concatenate(held, axis=1), rate) if held else None


def _fits(recording: Recording, chunk: dict[str, np.ndarray], at_s: float, rate: int) -> bool:
    end_s = at_s + chunk["mixture"].shape[1] / rate
    spans = recording.matched_spans
    if spans is not None and not residuals.within(at_s, end_s, spans, SPAN_SLACK_S):
        return False
    lie = Lie()
    lie.add(chunk["mixture"], chunk["accompaniment"])
    return lie.fits()
