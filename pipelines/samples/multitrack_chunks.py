"""A multitrack's sources, cut into chunks of integers that add up. Free of Beam."""

import math
import re
from collections.abc import Iterator

import numpy as np

from pipelines.samples import chunks
from pipelines.samples.chunks import AlignedSource, Chunk
from pipelines.samples.recordings import Facts, Recording, Shape, Unusable
from stemlode import audio
from stemlode.audio.info import ends_early

SOURCE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
LARGEST_MISS_DB = -6.0  # beyond this, a mixture is not that of its stems


def multitrack_chunks(
    recording: Recording, rate: int, shape: Shape, chunk_frames: int, facts: Facts
) -> Iterator[Chunk]:
    """A multitrack's chunks; mixture = the sum of its stems."""
    sums = _sums(recording)
    owner = {}  # a part's name of its own → its source
    sources = []
    for name, parts in sorted(recording.parts.items()):
        for number, part in enumerate(parts):
            own = f"{name} {number + 1}" if number else name
            owner[own] = name
            sources.append(
                AlignedSource(own, part.uri, 0, part.gain, stream=part.stream, channel=part.channel)
            )
    cut = chunks.cut(
        sources,
        sample_rate=rate,
        channels=shape.channels,
        chunk_frames=chunk_frames,
        until="mixture" if "mixture" in recording.parts else "",
    )
    power = missed = 0.0
    for number, held in enumerate(cut):
        chunk: dict[str, np.ndarray] = {}
        for own, samples in held.items():
            name = owner[own]
            chunk[name] = chunk[name] + samples if name in chunk else samples
        given = chunk.pop("mixture") if "mixture" in sums and "mixture" in chunk else None
        integers, scale = chunks.quantise(chunk, sums, shape.flac_bits)
        if given is not None:
            written = integers["mixture"] * np.float32(scale / chunks.full_scale(shape.flac_bits))
            power += float(np.sum(given**2, dtype=np.float64))
            missed += float(np.sum((given - written) ** 2, dtype=np.float64))
        yield Chunk(number * chunk_frames, integers, scale)
    if power or missed:
        facts.sum_error_db = _ratio_db(missed, power)
    if missed > power * 10 ** (LARGEST_MISS_DB / 10):
        raise Unusable(
            f"the stems do not sum to the mixture (error {facts.sum_error_db:+.1f} dB)"
            f"{ends_early(_lengths(recording))}; "
            "take the mixture away where it is not their plain sum",
            "sum",
        )


def _lengths(recording: Recording) -> dict[str, float]:
    """File name → seconds that it decodes to; asked only for an error's text."""
    return {
        part.uri.rpartition("/")[2]: sum(
            block.duration_s for block in audio.blocks(part.uri, stream=part.stream, mono=True)
        )
        for parts in recording.parts.values()
        for part in parts
    }


def _ratio_db(missed: float, power: float) -> float:
    """10 log10(missed / power), between ±120 dB."""
    floor = 1e-12
    return round(10 * math.log10(max(missed, power * floor) / max(power, missed * floor)), 2)


def _sums(recording: Recording) -> dict[str, dict[str, int]]:
    """What is summed from what, for a multitrack's sources; Unusable where too few are there."""
    names = recording.parts
    for name in names:
        if not SOURCE_NAME.fullmatch(name):
            raise Unusable(f"{name}: no name of a source: lower case, digits, - and _", "layout")
    if recording.kind == "unpaired":
        return {}
    stems = sorted(set(names) - {"mixture", "vocals", "accompaniment"})
    if "vocals" in names and ("accompaniment" in names or stems):
        summed = {} if "accompaniment" in names else {"accompaniment": dict.fromkeys(stems, 1)}
        return summed | {"mixture": {"vocals": 1, "accompaniment": 1}}
    if "vocals" in names and "mixture" in names:
        return {"accompaniment": {"mixture": 1, "vocals": -1}}
    if "accompaniment" in names and "mixture" in names:
        return {"vocals": {"mixture": 1, "accompaniment": -1}}
    if len(stems) > 1 and "accompaniment" not in names:
        return {"mixture": dict.fromkeys(stems, 1)}
    held = ", ".join(sorted(names))
    raise Unusable(
        f"needs vocals and accompaniment, other stems or a mixture; holds {held}", "layout"
    )
