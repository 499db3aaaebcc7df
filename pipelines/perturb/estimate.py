"""What perturbing songs would take, from a few iterations on a stretch of some. No Beam."""

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipelines import estimates
from pipelines.estimates import Estimate, Took
from pipelines.perturb.songs import Chunked, Multitrack, has_stems, in_folder
from stemlode import files
from stemlode.audio import AudioError
from stemlode.runs import Failed
from stemlode.shards import songs
from stemlode.tables import Row
from training.amicable import optimise, perturb
from training.amicable.models import Model
from training.amicable.perturb import Task
from training.amicable.song import Song

SONGS = 3
HEARD_S = 15.0  # of a song: as long as the longest excerpt in its report
ITERATIONS = 4
_HOUR = 3600.0


@dataclasses.dataclass(frozen=True)
class Sample:
    """Some of the songs. share: how many times as much audio all are."""

    songs: list[Multitrack | Chunked]
    of: int
    share: float
    read_bytes: float


@dataclasses.dataclass
class Measured:
    """Of a song: seconds of processor time and by the clock, and bytes; all but `page_bytes` grow
    with its length."""

    of_net_s: float = 0.0
    of_net_wall_s: float = 0.0
    cpu_s: float = 0.0
    bytes: float = 0.0
    page_bytes: float = 0.0
    state_bytes: float = 0.0

    def add(self, other: "Measured", more: float) -> None:
        """Take in a song of which this is a stretch: `more` times as long."""
        for field in dataclasses.fields(self):
            times = 1.0 if field.name == "page_bytes" else more
            whole = getattr(self, field.name) + times * getattr(other, field.name)
            setattr(self, field.name, whole)


def expected(sample: Sample, nets: Sequence[Model], task: Task, *, on_gpu: bool) -> Estimate:
    """Perturb a sample; raises Failed as a run does."""
    rejects, took, heard_s, reading = Counter[str](), Measured(), 0.0, Took()
    for one in sample.songs:
        try:
            with estimates.timed(reading):
                whole = one.read()
            part = _stretch(whole)
            found = _measured(part, nets, task)
        except (AudioError, Failed) as error:
            rejects[error.error if isinstance(error, AudioError) else "failed"] += 1
            continue
        heard_s += whole.mixture.shape[1] / whole.sample_rate
        took.add(found, whole.mixture.shape[1] / part.mixture.shape[1])
    share, each = sample.share, sample.of / max(1, len(sample.songs))
    core_s = (took.cpu_s + reading.cpu_s) * share
    written = took.bytes * share + took.page_bytes * each
    searched = task.settings.target_di_sdr is not None
    return Estimate(
        what="songs",
        sampled=len(sample.songs),
        inputs=sample.of,
        rows=sample.of - sum(rejects.values()) * each,
        rows_are="songs",
        hours=heard_s * share / _HOUR,
        read_bytes=sample.read_bytes,
        written_bytes=written,
        disk_bytes=written + took.state_bytes * share,
        core_hours=core_s / _HOUR,
        gpu_hours=took.of_net_wall_s * share / _HOUR if on_gpu else 0.0,
        net_share=took.of_net_s * share / core_s if core_s and not on_gpu else 0.0,
        rejects=rejects,
        rejected=sum(rejects.values()) * each,
        notes=["each song's search for λ is counted at its longest"] if searched else [],
    )


def of_folder(folder: str, layout: str, mapping: str | None) -> Sample:
    """Of songs in folders, compared by the bytes of their files; raises as `in_folder`."""
    every = [one for _, one in in_folder(folder, layout, mapping)]
    some = estimates.chosen(every, SONGS, lambda one: one.name)
    whole, part = (_sizes(songs) for songs in (every, some))
    share = len(every) / max(1, len(some))
    if whole and part:
        share = whole / part
    return Sample([*some], len(every), share, whole or (part or 0.0) * share)


def _sizes(some: Sequence[Multitrack]) -> float | None:
    paths = [{part.uri for parts in one.found.parts.values() for part in parts} for one in some]
    found = estimates.sizes_of([path for one in paths for path in one])
    return None if found is None else float(sum(found))


def of_corpus(corpus: str) -> Sample:
    """Of a corpus' songs with true stems, compared by their lengths; raises as `songs.tables`."""
    ends_s: dict[str, float] = {}
    size = 0
    for name, row in songs.rows_of(corpus, ["duration_s", "size"]):
        if has_stems(row):
            ends_s[name] = max(ends_s.get(name, 0.0), row["start_s"] + row["duration_s"])
            size += row["size"]
    some = estimates.chosen(ends_s, SONGS)
    rows: dict[str, list[Row]] = {name: [] for name in some}
    for name, row in songs.rows_of(corpus, songs.COLUMNS) if some else ():
        if name in rows:
            rows[name].append(row)
    found = [
        Chunked(corpus, name, sorted(held, key=lambda row: (row["start_s"], row["sample_id"])))
        for name, held in rows.items()
    ]
    part = sum(ends_s[name] for name in some)
    return Sample([*found], len(ends_s), sum(ends_s.values()) / part if part else 0.0, float(size))


def _measured(song: Song, nets: Sequence[Model], task: Task) -> Measured:
    """A few iterations, and what they say of all of them and of the rest."""
    settings = task.settings
    few = dataclasses.replace(
        settings, iterations=min(ITERATIONS, settings.iterations), target_di_sdr=None
    )
    times: list[tuple[float, float]] = []
    took = Took()
    with estimates.passing("perturb-songs") as run, estimates.timed(took):
        folder, parts = run.path("song"), run.path("parts")
        perturb.perturb(
            song, nets, dataclasses.replace(task, settings=few), folder, parts,
            done=lambda _: times.append((time.process_time(), time.perf_counter())),
        )  # fmt: skip
        page = files.size(files.join(folder, perturb.PAGE))
        found = Measured(
            bytes=estimates.written_by(folder) - page,
            page_bytes=page,
            state_bytes=estimates.written_by(parts),
        )
    # The first iteration is not timed: it sets up what the others find there.
    steps = [np.subtract(b, a) for a, b in itertools.pairwise(times)]
    each_cpu_s, each_s = np.mean(steps, axis=0) if steps else (took.cpu_s, took.wall_s)
    count = optimise.iterations(settings) + 1
    found.of_net_s, found.of_net_wall_s = float(each_cpu_s) * count, float(each_s) * count
    found.cpu_s = max(0.0, took.cpu_s - float(each_cpu_s) * len(times)) + found.of_net_s
    return found


def _stretch(song: Song) -> Song:
    """The loudest stretch of a song, of those that follow one another."""
    frames, length = round(HEARD_S * song.sample_rate), song.mixture.shape[1]
    if length <= frames:
        return song
    starts = range(0, length - frames + 1, frames)
    first = max(starts, key=lambda at: float(np.square(song.mixture[:, at : at + frames]).sum()))
    place = slice(first, first + frames)
    stems = {name: np.ascontiguousarray(one[:, place]) for name, one in song.stems.items()}
    return Song(np.ascontiguousarray(song.mixture[:, place]), stems, song.sample_rate)
