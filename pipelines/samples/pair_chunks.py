"""A pair on one clock, cut into chunks, with the vocals where they can be had. No Beam."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from matching.sound.channels import IN_PLACE, MEAN
from matching.sound.repairs import clock, equaliser, levels
from matching.sound.repairs.clock import Part
from pipelines.samples import chunks, encoders, residuals
from pipelines.samples.chunks import AlignedSource, Chunk
from pipelines.samples.encoders import Shares
from pipelines.samples.recordings import Facts, Recording, Shape, Unusable
from pipelines.samples.residuals import Judge
from stemlode import audio
from stemlode.audio import AudioError, kinds
from stemlode.retry import read_fault

MEASURED_S = 60.0  # of the sound from which the delay is found
SPAN_SLACK_S = 3.0  # that a chunk may stick out of a matched span: a segment of prune's
LEAST_EVEN = 0.7  # −3 dB: of what a codec did to left and right at one gain
NOTHING = 1e-2  # mono
SIDES = ("mixture", "accompaniment")
Gains = tuple[tuple[float, float], ...]


def pair_chunks(
    recording: Recording, rate: int, shape: Shape, chunk_frames: int, facts: Facts
) -> Iterator[Chunk]:
    """A pair's chunks, none of which reaches from one of its parts into another.

    A chunk holds `vocals` = mixture − accompaniment, to the last bit, where the pair drifts by no
    more than residuals.MOST_DRIFT_PPM or has a clock, where the chunk matched, and where, by
    residuals.Judge, no more of the backing is left in any channel than a voice may hold; for others
    the vocals' magnitudes are known alone. What `prune` found of the channels and of the time is
    mended first; where a chunk is held back only by its level, so is that, if the judge then finds
    it good. What is done here beyond what `prune` found, the shape may forbid.
    """
    _check(recording)
    judges: list[Judge] = []
    for part in _parts(recording):
        yield from _chunks(recording, part, rate, shape, chunk_frames, facts, judges)
    if judges:
        facts.leftover_db = residuals.written_db(judges)
        found = residuals.of_codecs_db(judges)
        facts.leftover_of_codecs_db, facts.clipped_of_codecs_db, facts.bent_of_codecs_db = found


def _chunks(
    recording: Recording,
    part: Part | None,
    rate: int,
    shape: Shape,
    chunk_frames: int,
    facts: Facts,
    judges: list[Judge],
) -> Iterator[Chunk]:
    """The chunks of a part, or of the whole pair where there is none; who judged is noted."""
    judge = _judge(recording, part, rate, shape) if _promising(recording) else None
    delay = judge.delay if judge is not None else 0.0  # magnitudes need no part of a frame
    sources, first = _sources(recording, part, rate, shape.channels, delay)
    taps = judge.taps if judge is not None else None
    equalised_db = None if taps is None else equaliser.octaves_db(taps, rate)
    sources[1] = dataclasses.replace(sources[1], taps=taps)
    cut = chunks.cut(sources, sample_rate=rate, channels=shape.channels, chunk_frames=chunk_frames)
    for number, chunk in enumerate(cut):
        at = first + number * chunk_frames
        left_db = gains_db = None
        if judge is not None and _matches(recording, chunk, at / rate, rate):
            left_db = judge.left_db(chunk["mixture"], chunk["accompaniment"])
            if left_db is None and shape.follow_level:
                left_db, gains_db = _levelled(judge, chunk)
        sums = {} if left_db is None else {"vocals": {"mixture": 1, "accompaniment": -1}}
        facts.residual_chunks += bool(sums)
        quantised = chunks.quantise(chunk, sums, shape.flac_bits)
        yield Chunk(at, *quantised, left_db, gains_db, equalised_db)
    if judge is not None:
        judges.append(judge)


def _parts(recording: Recording) -> list[Part] | list[None]:
    """The parts of a pair that have a clock each; None for one offset throughout."""
    if not recording.clock:
        return [None]
    try:
        return clock.parts_of(recording.clock)
    except ValueError as error:
        raise Unusable(f"its clock is none: {error}", "misaligned") from error


def _levelled(
    judge: Judge, chunk: dict[str, np.ndarray]
) -> tuple[float | None, tuple[float, ...] | None]:
    """What is left of the backing once it lies in the mixture at the level that it has there, and
    the gains for that; then the chunk's accompaniment is at this level, else it stays."""
    mixture, accompaniment = (chunk[side] for side in SIDES)
    gains_db = levels.gains_db(mixture, accompaniment, judge.rate)
    if gains_db is None:
        return None, None
    level = levels.applied(accompaniment, gains_db)
    left_db = judge.left_db(mixture, level, levels.share(gains_db), at_level=True)
    if left_db is None:
        return None, None
    chunk["accompaniment"] = level
    return left_db, gains_db


def _check(recording: Recording) -> None:
    placed = (recording.offset_s, recording.gain_db)
    gains = (*(recording.channel_gains or ()), *(recording.mono_gains or ()))
    if not all(part.uri for name in recording.parts for part in recording.parts[name]):
        raise AudioError("no audio_uri", "no_audio_uri")
    if not all(map(math.isfinite, (*placed, *gains))) or recording.polarity not in (1, -1):
        raise Unusable(f"cannot be aligned by offset and gain {placed}", "misaligned")


def _sources(
    recording: Recording, part: Part | None, rate: int, channels: int, delay: float
) -> tuple[list[AlignedSource], int]:
    """Both recordings, `delay` frames beyond prune's clock, or what its offset is to the nearest
    frame."""
    (mixture,), (accompaniment,) = (recording.parts[side] for side in SIDES)
    mixture_gains, instrumental_gains = _gains(recording, channels)
    if part is not None:
        return chunks.pair_on_clock(
            mixture.uri,
            accompaniment.uri,
            part,
            sample_rate=rate,
            whole="parts" not in (recording.repaired or ""),
            delay_frames=delay,
            gain_db=recording.gain_db,
            polarity=recording.polarity,
            mixture_gains=mixture_gains,
            instrumental_gains=instrumental_gains,
        )
    return chunks.aligned_pair(
        mixture.uri,
        accompaniment.uri,
        offset_frames=round(recording.offset_s * rate) + delay,
        gain_db=recording.gain_db,
        polarity=recording.polarity,
        mixture_gains=mixture_gains,
        instrumental_gains=instrumental_gains,
    )


def _gains(recording: Recording, channels: int) -> tuple[Gains, Gains]:
    """What of left and right is in each channel that is written, of the mixture and of the
    instrumental; empty for what is written as it is, or as the mean."""
    found, taken = recording.channel_gains, recording.mono_gains
    if found is None:
        return (), ()
    if (len(found), taken and len(taken)) not in ((2, 2), (4, 2), (4, None)):
        raise Unusable(f"channel gains {found} and {taken} are none", "misaligned")
    if len(found) == 2 and taken is not None:
        return ((taken[0], taken[1]),), ((found[0], found[1]),)
    left, right = found[:2], found[2:]
    if channels > 1:
        rows = ((left[0], left[1]), (right[0], right[1]))
        return (), () if found == IN_PLACE else rows
    if found == IN_PLACE and taken is None:
        return (), ()
    a, b = taken or MEAN
    return ((a, b),), ((a * left[0] + b * right[0], a * left[1] + b * right[1]),)


def _promising(recording: Recording) -> bool:
    """Whether a single offset, or its clock, may turn the pair into a vocal.

    That `prune` found it incoherent says little: at 8 kHz half a period is soon missed.
    """
    drift = 0.0 if recording.clock else abs(recording.drift_ppm or 0.0)
    return recording.coherent is not None and drift <= residuals.MOST_DRIFT_PPM


def _is_even(recording: Recording) -> bool:
    """Whether what `prune` found of the channels raises no codec's noise over what it was under.

    Gains that turn left and right raise nothing; what they make louder than the rest, they do.
    """
    found = recording.channel_gains
    if found is None or len(found) == 2:
        return True
    sizes = np.linalg.svd(np.reshape(found, (2, 2)), compute_uv=False)
    return bool(sizes[1] >= LEAST_EVEN * sizes[0] or sizes[1] < NOTHING * sizes[0])


def _judge(recording: Recording, part: Part | None, rate: int, shape: Shape) -> Judge | None:
    """Who decides where the vocals are written; None where they are nowhere."""
    lossless = _is_lossless(recording)
    if not lossless and not _is_even(recording):
        return None
    sources, first = _sources(recording, part, rate, shape.channels, 0.0)
    begin_s = part.begin_s if part else (recording.matched_spans or ((0.0, 0.0),))[0][0]
    begin = round(begin_s * rate)
    skipped, frames = max(0, begin - first), 4 * residuals.N_FFT
    last = skipped + round(MEASURED_S * rate)
    held: list[dict[str, np.ndarray]] = []
    cut = chunks.cut(sources, sample_rate=rate, channels=shape.channels, chunk_frames=frames)
    for number, chunk in enumerate(cut):
        if number * frames >= last:
            break
        if (number + 1) * frames > skipped:
            held.append(chunk)
    if not held:
        return None
    codecs = None
    if not lossless:
        found = [
            _of_codec(source, part.begin_s if part else skipped / rate, shape.channels)
            for source in sources
        ]
        if found[0] is None or found[1] is None:
            return None
        codecs = found[0], found[1]
    mixture, accompaniment = (
        np.concatenate([chunk[side] for chunk in held], axis=1) for side in SIDES
    )
    return residuals.judge(
        mixture,
        accompaniment,
        rate,
        codecs,
        follows_level=shape.follow_level,
        equalises=shape.equalise,
    )


def _of_codec(source: AlignedSource, begin_s: float, channels: int) -> Shares | None:
    """The noise that a source's codec leaves in its channels, from what is measured of it."""
    try:
        return encoders.noise(source.uri, begin_s, MEASURED_S, source.gains, channels)
    except OSError as error:
        raise read_fault(error, source.uri) from error


def _is_lossless(recording: Recording) -> bool:
    """Whether both files hold every sample as it was, so that nothing of a codec's is left over."""
    uris = [recording.parts[side][0].uri for side in SIDES]
    try:
        return all(kinds.is_lossless(audio.probe(uri).format) for uri in uris)
    except OSError as error:
        raise read_fault(error, " and ".join(uris)) from error


def _matches(recording: Recording, chunk: dict[str, np.ndarray], at_s: float, rate: int) -> bool:
    end_s = at_s + chunk["mixture"].shape[1] / rate
    spans = recording.matched_spans
    return spans is None or residuals.within(at_s, end_s, spans, SPAN_SLACK_S)
