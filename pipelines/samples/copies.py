"""Augmented copies of a song: its stems with effects, rendered, then cut like any song. No Beam.

A stem is held in memory while its effects are applied, one at a time, and waits in a temporary file
for the others; a copy's mixture is what its stems sum to.
"""

import dataclasses
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pedalboard
import soundfile

from pipelines.samples import augmentation, chunks, recordings, sampling
from pipelines.samples.chunks import AlignedSource
from pipelines.samples.recordings import Facts, Recording, Shape
from stemlode.audio import AudioError
from stemlode.ids import digest
from stemlode.layouts.songs import Part

KINDS = ("stems", "unpaired")  # whose sources are whole signals of their own


def of(recording: Recording, count: int, seed: int) -> list[Recording]:
    """A recording's copies, numbered from 1; none of a pair, whose sources are no stems."""
    if recording.kind not in KINDS:
        return []
    return [
        dataclasses.replace(
            recording,
            recording_id=digest(recording.recording_id, "copy", str(number)),
            name=f"{recording.name} (copy {number})",
            parts=_stems(recording.parts),
            augmentation=json.dumps(
                dataclasses.asdict(
                    augmentation.draw(
                        _stems(recording.parts), number, f"{seed} {recording.recording_id}"
                    )
                ),
                sort_keys=True,
            ),
        )
        for number in range(1, count + 1)
    ]


def fingerprint(copy: Recording, split: str, group: str, shape: Shape) -> str:
    """As recordings.fingerprint; the effects' own library decides the samples too."""
    return digest(recordings.fingerprint(copy, split, group, shape), pedalboard.__version__)


def samples(
    copy: Recording, split: str, group: str, shape: Shape, facts: Facts
) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
    """A copy's samples, as sampling.samples; their rows say what was done to each stem."""
    rate = shape.sample_rate or recordings.native_rate(copy)
    with tempfile.TemporaryDirectory() as folder:
        parts: dict[str, tuple[Part, ...]] = {}
        for number, name in enumerate(sorted(copy.parts)):
            path = Path(folder) / f"{number}.wav"
            rendered = _rendered(copy, name, rate, shape.channels)
            soundfile.write(path, rendered.T, rate, format="WAV", subtype="FLOAT")
            parts[name] = (Part(str(path)),)
        whole = dataclasses.replace(copy, parts=parts)
        at_rate = dataclasses.replace(shape, sample_rate=rate)
        yield from sampling.samples(whole, split, group, at_rate, facts)


def _stems(parts: dict[str, tuple[Part, ...]]) -> dict[str, tuple[Part, ...]]:
    """What a song's mixture is the sum of; a missing rest is mixture − the one that is there."""
    stems = {name: held for name, held in parts.items() if name != "mixture"}
    for one, rest in (("vocals", "accompaniment"), ("accompaniment", "vocals")):
        if set(stems) == {one} and "mixture" in parts:
            negated = tuple(dataclasses.replace(part, gain=-part.gain) for part in stems[one])
            return stems | {rest: (*parts["mixture"], *negated)}
    return stems


def _rendered(copy: Recording, stem: str, rate: int, channels: int) -> np.ndarray:
    """A stem with its effects, float32 [channels, frames]."""
    drawn = augmentation.Augmentation(**json.loads(copy.augmentation or ""))
    sources = [
        AlignedSource(f"{stem} {n + 1}", p.uri, 0, p.gain, stream=p.stream, channel=p.channel)
        for n, p in enumerate(copy.parts[stem])
    ]
    cut = chunks.cut(sources, sample_rate=rate, channels=channels, chunk_frames=30 * rate, until="")
    blocks = [np.sum(list(chunk.values()), axis=0) for chunk in cut]
    if not blocks:
        raise AudioError(f"{stem}: no samples", "empty")
    return augmentation.apply(np.concatenate(blocks, axis=1), rate, _ordered(drawn.of(stem)))


def _ordered(chosen: dict[str, augmentation.Parameters]) -> dict[str, augmentation.Parameters]:
    """Effects in the order in which they are applied, whatever the order they were kept in."""
    return {
        name: chosen[name]
        for name in (*augmentation.CHANCES, *augmentation.TRACK)
        if name in chosen
    }
