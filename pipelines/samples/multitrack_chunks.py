"""A multitrack's sources, cut into chunks of integers that add up. Free of Beam."""

import re
from collections.abc import Iterator, Mapping

import numpy as np

from pipelines.samples import chunks
from pipelines.samples.chunks import AlignedSource, Chunk
from pipelines.samples.recordings import Facts, Recording, Shape, Unusable
from stemlode.audio import AudioError
from stemlode.audio.containers.info import check_difference, check_sum, ends_early, miss_db

SOURCE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def multitrack_chunks(
    recording: Recording, rate: int, shape: Shape, chunk_frames: int, facts: Facts
) -> Iterator[Chunk]:
    """A multitrack's chunks; mixture = the sum of its stems."""
    sums = _sums(recording)
    owner = {}  # a part's name of its own → its source
    sources = []
    for name, parts in sorted(recording.parts.items()):
        for number, part in enumerate(parts):
            own = _own(name, number)
            owner[own] = name
            sources.append(
                AlignedSource(own, part.uri, 0, part.gain, stream=part.stream, channel=part.channel)
            )
    lengths: dict[str, int] = {}
    cut = chunks.cut(
        sources,
        sample_rate=rate,
        channels=shape.channels,
        chunk_frames=chunk_frames,
        until="mixture" if "mixture" in recording.parts else "",
        lengths=lengths,
    )
    heads, tails = np.zeros(2), np.zeros(2)  # what the sum misses, and the mixture's power
    for number, held in enumerate(cut):
        chunk: dict[str, np.ndarray] = {}
        for own, samples in held.items():
            name = owner[own]
            chunk[name] = chunk[name] + samples if name in chunk else samples
        given = chunk.pop("mixture") if "mixture" in sums and "mixture" in chunk else None
        integers, scale = chunks.quantise(chunk, sums, shape.flac_bits)
        if given is not None:
            written = integers["mixture"] * np.float32(scale / chunks.full_scale(shape.flac_bits))
            ended = max(0, min(lengths.values()) - number * chunk_frames)
            for stretch, total in ((slice(ended), heads), (slice(ended, None), tails)):
                total += [
                    float(np.sum(samples[:, stretch] ** 2, dtype=np.float64))
                    for samples in (given - written, given)
                ]
        yield Chunk(number * chunk_frames, integers, scale)
    missed, power = heads + tails
    if power or missed:
        facts.sum_error_db = miss_db(missed, power)
    if "mixture" not in recording.parts:
        return
    early = _ends_early(recording, lengths, rate)
    try:
        if "mixture" in sums:
            check_sum(list(heads), list(tails), early)
        else:
            check_difference(early)
    except AudioError as error:
        advice = "; take the mixture away where it is not their plain sum"
        why = f"{error}{advice if error.error == 'sum' else ''}"
        raise Unusable(why, error.error) from None


def _ends_early(recording: Recording, lengths: Mapping[str, int], rate: int) -> str:
    """The files that end before their mixture does, as `info.ends_early` has it; `lengths` in
    frames, by a part's name of its own."""
    found = {}
    for name, parts in recording.parts.items():
        for number, part in enumerate(parts):
            frames = min(lengths[_own(name, number)], lengths["mixture"])
            found[part.uri.rpartition("/")[2]] = frames / rate
    return ends_early(found)


def _own(name: str, number: int) -> str:
    """A part's name of its own."""
    return f"{name} {number + 1}" if number else name


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
