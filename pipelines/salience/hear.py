"""A step of the pipeline: the chunks of a song → their salience, in a part file."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import TaggedOutput

from pipelines.salience import vocals
from pipelines.salience.plan import STAGE, SaliencePlan, part_name
from pipelines.samples import parts
from pipelines.samples.ahead import ahead
from stemlode import runs
from stemlode.audio import AudioError
from stemlode.progress import meters
from stemlode.retry import patiently
from stemlode.schemas import reject
from stemlode.shards import salience, tar
from stemlode.shards.salience import LEVELS, THRESHOLD, Columns
from stemlode.tables import Row
from training.pitch import targets, teachers

READ_AHEAD = 1  # songs that are read while one is heard
Song = tuple[str, list[Row]]  # its recording, and its rows of the index in order


class Hear(beam.DoFn):
    """Some songs (number, [(recording, rows)]) → `tar.Sample` of each chunk with vocals.

    Further outputs: `rejects` and `counts`. A song is heard whole, so that its salience does not
    depend on how it was cut.
    """

    def __init__(self, run: runs.Run, plan: SaliencePlan) -> None:
        self.run, self.plan = run, plan

    def setup(self) -> None:
        plan = self.plan
        self.teacher = teachers.load(plan.teacher, plan.weights, plan.device)
        self.judge = None
        if plan.voices_sha256 is not None and not self.teacher.polyphonic:
            self.judge = teachers.load(teachers.DEEP, plan.weights, plan.device)

    def process(self, element: tuple[int, Iterable[Song]]) -> Iterator[Any]:
        every = sorted(element[1], key=lambda song: song[0])
        songs = [(name, rows) for name, rows in every if _has_vocals(rows)]
        meters.step("songs", len(every) - len(songs), held=True)
        yield TaggedOutput("counts", ("songs_without_vocals", len(every) - len(songs)))
        for (name, rows), read in ahead(songs, self.read, READ_AHEAD):
            try:
                with meters.item("songs", name):
                    samples, facts = self.part(rows, read.result())
            except AudioError as error:
                record = {"song_id": rows[0]["song_id"], "samples": len(rows)}
                row = reject(STAGE, name, error.error, str(error), record)
                meters.step("songs")
                yield TaggedOutput("rejects", row)
                continue
            yield from samples
            for count in ("samples_without_vocals", "frames", "frames_voiced"):
                yield TaggedOutput("counts", (count, facts[count]))
            yield TaggedOutput("counts", ("songs", 1))
            yield TaggedOutput("counts", ("audio_seconds", round(_sung_s(rows))))
            yield TaggedOutput("counts", ("songs_of_several_voices", int(facts["several"])))

    def read(self, song: Song) -> dict[int, np.ndarray] | None:
        """A song's vocals at the rates that are wanted; None where its part is there already."""
        _, rows = song
        part = self.run.path(runs.PARTS, f"{part_name(rows, self.plan)}.part")
        if tar.read_part(part) is not None:
            return None
        rates = [self.teacher.sample_rate, *([self.judge.sample_rate] if self.judge else [])]
        begun = time.perf_counter()
        found = patiently(lambda: vocals.signals(self.plan.corpus, rows, rates), self.plan.corpus)
        meters.decoded(_sung_s(rows), 1000 * (time.perf_counter() - begun))
        return found

    def part(
        self, rows: list[Row], read: dict[int, np.ndarray] | None
    ) -> tuple[list[tar.Sample], Row]:
        """A song's samples and what is counted of it, from what `read` gave; AudioError where it
        cannot be used."""
        heard, facts = read or {}, dict[str, Any]()

        def make() -> tuple[list[tar.Sample], Row]:
            return parts.part(
                self.run,
                part_name(rows, self.plan),
                lambda: self._samples(rows, heard, facts),
                lambda: facts,
            )

        return patiently(make, f"--output {self.run.output}")

    def _samples(
        self, rows: list[Row], heard: dict[int, np.ndarray], facts: Row
    ) -> Iterator[tuple[Row, dict[str, bytes]]]:
        """Rows of schemas.SALIENCE without offset and size, and their files."""
        frames = vocals.frame_count(rows)
        told = self.plan.voices_sha256 is not None and self.judge is None  # by the teacher itself
        wanted = {self.plan.targets, *(["multi"] if told else [])}
        given = self.teacher.saliences(heard[self.teacher.sample_rate], frames, wanted)
        whole = given[self.plan.targets]
        share = self._voices_share(heard, frames, given.get("multi"))
        several = None if share is None else share > targets.SEVERAL_SHARE
        facts |= {"frames": 0, "frames_voiced": 0, "several": bool(several)}
        facts["samples_without_vocals"] = sum(vocals.SOURCE not in row["sources"] for row in rows)
        for row in rows:
            if vocals.SOURCE not in row["sources"]:
                continue
            where = Columns.of(row["start_s"], row["duration_s"])
            values = whole[:, where.first_frame : where.first_frame + where.frames]
            voiced = int((values.max(0, initial=0) >= round(THRESHOLD * LEVELS)).sum())
            facts["frames"] += where.frames
            facts["frames_voiced"] += voiced
            files = {salience.FILE: salience.encoded(values, where)}
            yield (
                {
                    "sample_id": row["sample_id"],
                    "song_id": row["song_id"],
                    "split": row["split"],
                    "shard": row["shard"].rpartition(".")[0] + ".tar",
                    "first_frame": where.first_frame,
                    "first_sample": where.first_sample,
                    "frames": where.frames,
                    "voiced": round(voiced / where.frames, 6) if where.frames else 0.0,
                    "targets": self.plan.targets,
                    "teacher": self.plan.teacher,
                    "teacher_sha256": self.plan.teacher_sha256,
                    "voices_share": share,
                    "several_voices": several,
                    "sha256": tar.hashes(files),
                },
                files,
            )

    def _voices_share(
        self, heard: dict[int, np.ndarray], frames: int, every: np.ndarray | None
    ) -> float | None:
        """How much of a song's voiced time holds several voices; None where nobody can say.
        `every`: all voices, as the teacher hears them, if it does."""
        if self.plan.voices_sha256 is None:
            return None
        if self.judge is not None:
            every = self.judge.salience(heard[self.judge.sample_rate], frames, "multi")
        return None if every is None else round(targets.voices_share(every), 6)


class WriteShard(beam.DoFn):
    """The salience of a corpus shard's samples → a shard, its manifest row, and `index` rows."""

    def __init__(self, run: runs.Run) -> None:
        self.run = run

    def process(self, element: tuple[str, Iterable[tar.Sample]]) -> Iterator[Any]:
        name, unsorted = element
        samples = sorted(unsorted, key=lambda sample: sample.row["sample_id"])
        path = self.run.path(name)
        sha256 = patiently(lambda: tar.write_shard(path, samples), f"--output {self.run.output}")
        for sample, offset in zip(samples, tar.offsets(samples), strict=True):
            yield TaggedOutput("index", {**sample.row, "offset": offset, "size": sample.size})
        yield {"path": name, "sha256": sha256}


def _sung_s(rows: list[Row]) -> float:
    """Seconds of vocals that are read of a song."""
    return sum(row["duration_s"] for row in rows if vocals.SOURCE in row["sources"])


def _has_vocals(rows: list[Row]) -> bool:
    return any(vocals.SOURCE in row["sources"] for row in rows)
