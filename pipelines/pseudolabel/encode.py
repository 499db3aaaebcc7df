"""Labelled stretches → samples in part files: the mixtures' own sound, or mixture and estimates.

A clean segment is stored as the one source that it is; a pseudo-labelled one as its mixture, the
target and the rest, which sum as integers. Encoding goes on beside the teacher, in threads.
"""

import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.pseudolabel.plan import STAGE, LabelPlan, song_id
from pipelines.pseudolabel.teacher import Done, Stretch
from pipelines.samples import chunks, parts
from stemlode import runs
from stemlode.ids import digest
from stemlode.retry import patiently
from stemlode.schemas import reject
from stemlode.shards import tar
from stemlode.shards.tar import Sample
from stemlode.tables import Row

WAITING = 1  # stretches that may wait for the encoder
PartFile = tuple[list[Sample], Row]


class EncodeStretches(beam.DoFn):
    """Labelled stretches → `tar.Sample`; further outputs `rejects` and `counts`."""

    def __init__(self, run: runs.Run, plan: LabelPlan) -> None:
        self.run, self.plan = run, plan

    def setup(self) -> None:
        self.writer = ThreadPoolExecutor(1)  # of part files, one after another
        self.encoders = ThreadPoolExecutor(self.plan.encoders)
        self.waiting: deque[Future[PartFile]] = deque()

    def teardown(self) -> None:
        self.writer.shutdown()
        self.encoders.shutdown()

    def start_bundle(self) -> None:
        self.waiting.clear()

    def process(self, element: tuple[str, Done]) -> Iterator[Any]:
        name, (stretch, labelled) = element
        self.waiting.append(self.writer.submit(self._part, name, stretch, labelled))
        while len(self.waiting) > WAITING:
            yield from outputs(self.waiting.popleft().result())

    def _part(self, name: str, stretch: Stretch, labelled: Any) -> PartFile:
        def make() -> PartFile:
            encoded = _Encoded(self.plan, stretch, labelled, self.encoders)
            return parts.part(self.run, name, encoded.samples, encoded.facts)

        return patiently(make, f"--output {self.run.output}")

    def finish_bundle(self) -> Iterator[Any]:
        while self.waiting:
            for found in outputs(self.waiting.popleft().result()):
                yield _windowed(found)


def outputs(part: PartFile) -> Iterator[Any]:
    """What comes of a part file, made now or by an earlier attempt."""
    samples, facts = part
    yield from samples
    for row in facts["rejects"]:
        yield TaggedOutput("rejects", row)
    yield TaggedOutput("counts", ("segments_rejected", len(facts["rejects"])))
    for kind in {sample.row["kind"] for sample in samples}:
        number = sum(sample.row["kind"] == kind for sample in samples)
        yield TaggedOutput("counts", (f"segments_{kind}", number))


class _Encoded:
    """A labelled stretch, as `parts.part` takes it."""

    def __init__(
        self, plan: LabelPlan, stretch: Stretch, labelled: Any, encoders: ThreadPoolExecutor
    ) -> None:
        self.plan, self.stretch, self.labelled = plan, stretch, labelled
        self.encoders = encoders
        self.rejects: list[Row] = []

    def samples(self) -> Iterator[tuple[Row, dict[str, bytes]]]:
        """Index rows and files of the usable segments; the others become rejects."""
        for found in self.encoders.map(self._encode, range(len(self.stretch.firsts))):
            if isinstance(found, tuple):
                yield found
            else:
                self.rejects.append(found)

    def facts(self) -> Row:
        """What is to be known beside the samples."""
        return {"rejects": self.rejects}

    def _encode(self, place: int) -> tuple[Row, dict[str, bytes]] | Row:
        plan, labelled = self.plan, self.labelled
        outcome, confidence = labelled.outcomes[place], float(labelled.confidence[place])
        if labelled.reasons[place]:
            return self._reject(place, outcome, labelled.reasons[place])
        if confidence < plan.min_confidence:
            said = f"confidence {confidence:.3f} is below {plan.min_confidence:g}"
            return self._reject(place, "low_confidence", said)
        mixture, target = self.stretch.mixture[place], labelled.target[place]
        if outcome == "pseudo":
            signals = {"mixture": mixture, plan.target: target}
            sums = {plan.rest: {"mixture": 1, plan.target: -1}}
        else:
            signals = {plan.target if outcome == "clean_target" else plan.rest: mixture}
            sums = {}
        integers, scale = chunks.quantise(signals, sums, plan.flac_bits)
        row = self._row(place, outcome, sorted(integers), scale, confidence)
        contents = {
            f"{name}.flac": chunks.flac(integers[name], plan.cut.sample_rate, plan.flac_bits)
            for name in sorted(integers)
        }
        contents["json"] = json.dumps(row, sort_keys=True, ensure_ascii=False).encode()
        return row | {"sha256": tar.hashes(contents)}, contents

    def _row(
        self, place: int, kind: str, sources: list[str], scale: float, confidence: float
    ) -> Row:
        """A row of schemas.INDEX without shard, offset, size and hashes. The energies are those
        that the rules compared, of signals that a clean sample does not hold as well."""
        plan, track = self.plan, self.stretch.track
        first, rate = self.stretch.firsts[place], plan.cut.sample_rate
        energies = np.maximum(self.labelled.energies_db[place], chunks.QUIETEST_DB)
        names = ("mixture", plan.target, plan.rest)
        return {
            "sample_id": digest(track["track_id"], plan.teacher_sha256, plan.target, str(first)),
            "song_id": song_id(track),
            "split_group": track["track_id"],
            "split": "train",
            "kind": kind,
            "sources": sources,
            "salient": None,
            "activity_threshold": plan.cut.activity_threshold if plan.cut.window_s else None,
            "start_s": first / rate,
            "duration_s": plan.cut.frames / rate,
            "sample_rate": rate,
            "channels": plan.cut.channels,
            "scale": scale,
            "track_ids": [track["track_id"]],
            "licence": track["licence"],
            "genre": track["genre"],
            "release_year": track["release_year"],
            "augmentation": None,
            "energies_db": {n: round(float(e), 3) for n, e in zip(names, energies, strict=True)},
            "teacher_sha256": plan.teacher_sha256,
            "confidence": round(confidence, 6),
        }

    def _reject(self, place: int, error: str, message: str) -> Row:
        track, rate = self.stretch.track, self.plan.cut.sample_rate
        start_s = self.stretch.firsts[place] / rate
        facts = {
            "track_id": track["track_id"],
            "audio_uri": track["audio_uri"],
            "start_s": start_s,
            "duration_s": self.plan.cut.frames / rate,
            "teacher_sha256": self.plan.teacher_sha256,
        }
        return reject(STAGE, f"{track['track_id']} at {start_s:.3f} s", error, message, facts)


def _windowed(found: Any) -> Any:
    """An element that comes at a bundle's end."""
    window = GlobalWindow()
    if isinstance(found, TaggedOutput):
        return TaggedOutput(
            found.tag, WindowedValue(found.value, window.max_timestamp(), (window,))
        )
    return WindowedValue(found, window.max_timestamp(), (window,))
