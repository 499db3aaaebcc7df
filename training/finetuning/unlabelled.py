"""Unlabelled mixtures: audio files, or a corpus' mixtures, as pieces drawn at random.

As in BSRNN IV-B, silent regions are removed first by the detector of IV-A-1: one pass decodes every
file and notes its salient windows, or why the file cannot be used. After that, worker processes
seek to the pieces that are drawn and decode nothing else.
"""

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stemlode import audio, files, inflation, runs
from stemlode.addresses import rules as addresses
from stemlode.audio import AudioError, activity
from stemlode.audio.containers.info import check_whole
from stemlode.audio.kinds import is_lossless, is_named_audio
from stemlode.runs import BadUsage, Failed
from training.data import corpus, pools, windows
from training.data.corpus import Bad, Corpus
from training.finetuning import pieces
from training.finetuning.boosting import Segment
from training.recipes.base import Recipe
from training.separation import tags

LEAST_OF_RATE = 0.5  # of the model's rate; a file of less is left out
ATTEMPTS = 20  # to read one segment, before the run fails


class Stated(NamedTuple):
    """What a catalogue says of a file."""

    duration_s: float = math.nan
    duration_source: str | None = None  # how it knows that
    licence: str = ""


UNKNOWN = Stated()


@dataclass(frozen=True)
class Surveyed:
    """A file with the starts of its salient windows in seconds, or why it cannot be used."""

    uri: str
    starts: tuple[float, ...] = ()
    duration_s: float = 0.0
    reason: str = ""
    licence: str = ""  # by the catalogue, else by the file's tags


class Mixtures:
    """Windows of mixtures that hold sound; the base of what `boosting.SegmentSource` describes."""

    @property
    def count(self) -> int:
        """How many there are."""
        raise NotImplementedError

    def name(self, window: int) -> str:
        """The id of the mixture that holds a window."""
        raise NotImplementedError

    def read(self, window: int, place: float, shape: tuple[int, int], rate: int) -> Tensor:
        """A piece [channels, samples] at `place` in 0…1 of a window; raises what `pieces.read` or
        `audio.read` do."""
        raise NotImplementedError

    def draw(
        self, rng: random.Random, shape: tuple[int, int], rate: int, rejects: list[Bad]
    ) -> Segment:
        """See `boosting.SegmentSource`; each window is equally likely."""
        for _ in range(ATTEMPTS):
            window, place = rng.randrange(self.count), rng.random()
            try:
                return Segment(self.name(window), self.read(window, place, shape, rate))
            except (*windows.UNREADABLE, AudioError) as error:
                rejects.append(windows.fault(self.name(window), error))
        bad = rejects[-1]
        raise Failed(
            f"--unlabelled: {ATTEMPTS} mixtures in turn cannot be read; the last one, {bad.key}: "
            f"{bad.reason}"
        )


@dataclass(frozen=True)
class FileMixtures(Mixtures):
    """Windows of audio files."""

    uris: Sequence[str]
    rows: np.ndarray  # int64 [windows], into `uris`
    starts: np.ndarray  # float64 [windows], seconds
    durations: np.ndarray  # float64 [uris], seconds

    @property
    def count(self) -> int:
        return len(self.rows)

    def name(self, window: int) -> str:
        return self.uris[self.rows[window]]

    def read(self, window: int, place: float, shape: tuple[int, int], rate: int) -> Tensor:
        row, seconds = self.rows[window], shape[1] / rate
        spare = max(0.0, activity.WINDOW_S - seconds)
        latest = max(0.0, float(self.durations[row]) - seconds)
        start_s = min(latest, float(self.starts[window]) + place * spare)
        return pieces.read(self.uris[row], start_s, shape, rate)


@dataclass(frozen=True)
class CorpusMixtures(Mixtures):
    """Windows of a corpus' mixtures."""

    chunks: pools.Chunks
    pool: pools.Pool

    @property
    def count(self) -> int:
        return len(self.pool.rows)

    def name(self, window: int) -> str:
        return self.chunks.row(int(self.pool.rows[window]))["sample_id"]

    def read(self, window: int, place: float, shape: tuple[int, int], rate: int) -> Tensor:
        number, start = int(self.pool.rows[window]), self.pool.starts[window]
        return self.chunks.piece(number, start, "mixture", place, shape, rate)


def is_listed(place: str) -> bool:
    """Whether a place is a catalogue, which is data, and not a folder of the user's own files."""
    return files.is_file(place) or files.exists(files.join(place, runs.SUCCESS))


def address(uri: str, rules: addresses.Rules | None) -> str:
    """A file's address, with the rules that hold for it where a catalogue names it."""
    return uri if rules is None else addresses.Address(uri, rules)


def paths(place: str) -> list[str]:
    """The audio files of a folder, of a catalogue (Parquet or CSV with `audio_uri`), or of a run
    folder of `stemlode scan`, in order; BadUsage where there is none."""
    return list(stated(place))


def stated(place: str) -> dict[str, Stated]:
    """The same files, each with what the catalogue says of it."""
    if not files.exists(place):
        raise BadUsage(f"--unlabelled {place}: does not exist")
    if files.exists(files.join(place, runs.SUCCESS)):
        tables = [files.join(place, name) for name in runs.record(place)["outputs"]]
        tables = [
            name for name in sorted(tables) if name.rpartition("/")[2].startswith("catalogue-")
        ]
        found = [file for table in tables for file in _listed(table, place)]
    elif files.is_file(place):
        found = _listed(place, place)
    else:
        every = files.list_files(place, follow_links=True)
        found = [(path, UNKNOWN) for path in every if is_named_audio(path)]
    if not found:
        raise BadUsage(
            f"--unlabelled {place}: names no audio; give a folder of audio files, a catalogue with "
            "a column audio_uri, or a run folder of `stemlode scan`, `corpus` or `pseudolabel`"
        )
    once: dict[str, Stated] = {}
    for uri, facts in found:
        once.setdefault(uri, facts)
    return once


def _listed(table: str, place: str) -> list[tuple[str, Stated]]:
    try:
        with files.open_input(table) as file:
            if table.endswith(".parquet"):
                opened = pq.ParquetFile(file, pre_buffer=False)
                inflation.check(file, opened)
                held = opened.read(use_threads=False)
            elif table.endswith(".csv"):
                held = pacsv.read_csv(pa.BufferReader(file.read()))
            else:
                raise BadUsage(f"--unlabelled {place}: a catalogue is a .parquet or a .csv file")
    except (OSError, pa.ArrowException) as error:
        raise Failed(f"--unlabelled {table}: unreadable: {runs.reason(error)}") from error
    if "audio_uri" not in held.column_names:
        raise BadUsage(f"--unlabelled {place}: the catalogue has no column audio_uri")
    nothing = [None] * len(held)
    columns = ("audio_uri", "duration_s", "duration_source", "licence")
    rows = [held[name].to_pylist() if name in held.column_names else nothing for name in columns]
    found = []
    for uri, length, source, licence in zip(*rows, strict=True):
        facts = UNKNOWN._replace(licence=str(licence or ""))
        if isinstance(length, int | float):
            facts = facts._replace(duration_s=float(length), duration_source=source)
        if uri:
            found.append((str(uri), facts))
    return found


class Survey(Dataset[Surveyed]):
    """Every file decoded once, by worker processes."""

    def __init__(
        self,
        known: Mapping[str, Stated],
        recipe: Recipe,
        lossless_only: bool,
        threshold: str = activity.RELATIVE,
        rules: addresses.Rules | None = None,
    ) -> None:
        self.threshold = threshold
        self.uris, self.stated = list(known), list(known.values())
        self.rules = rules
        self.lossless_only = lossless_only
        self.rate, self.patch_s = recipe.sample_rate, recipe.patch_samples / recipe.sample_rate

    def __len__(self) -> int:
        return len(self.uris)

    def __getitem__(self, number: int) -> Surveyed:
        uri = self.uris[number]
        try:
            return self._heard(address(uri, self.rules), self.stated[number])
        except AudioError as error:
            return Surveyed(uri, reason=str(error))
        except OSError as error:
            return Surveyed(uri, reason=f"cannot be read: {runs.reason(error)}")

    def _heard(self, uri: str, known: Stated) -> Surveyed:
        info = audio.probe(uri)
        if self.lossless_only and not is_lossless(info.format):
            return Surveyed(uri, reason=f"lossy: {info.format} (--lossless-only)")
        if info.sample_rate < LEAST_OF_RATE * self.rate:
            why = f"{info.sample_rate:,} Hz is less than half of the model's {self.rate:,} Hz"
            return Surveyed(uri, reason=why)
        meter, frames = activity.Meter(info.sample_rate), 0
        for block in audio.blocks(uri):
            meter.add(block.samples)
            frames += block.samples.shape[1]
        duration_s = frames / info.sample_rate
        check_whole(duration_s, known.duration_s, known.duration_source)
        if duration_s < self.patch_s:
            why = f"too short: {duration_s:.2g} s; an example lasts {self.patch_s:g} s"
            return Surveyed(uri, reason=why)
        energies = meter.energies()
        starts = tuple(activity.starts(energies, info.sample_rate, threshold=self.threshold))
        if not starts:
            return Surveyed(uri, duration_s=duration_s, reason="silent: no salient window")
        licence = known.licence or tags.read(uri).licence
        return Surveyed(uri, starts, duration_s, licence=licence)


def survey(
    known: Mapping[str, Stated],
    recipe: Recipe,
    *,
    lossless_only: bool,
    workers: int,
    threshold: str = activity.RELATIVE,
    rules: addresses.Rules | None = None,
) -> Iterator[Surveyed]:
    """The survey of every file, in order; `rules` are those of a catalogue's addresses."""
    items: Iterable[Surveyed] = DataLoader(
        Survey(known, recipe, lossless_only, threshold, rules),
        batch_size=None,
        num_workers=workers,
        collate_fn=corpus.as_is,
        generator=torch.Generator(),  # the global one belongs to the training loop
        worker_init_fn=corpus.ignore_interrupts,
    )
    yield from items


def of_files(found: Sequence[Surveyed], rules: addresses.Rules | None = None) -> FileMixtures:
    """The windows of the files that can be used; `rules` as for `survey`."""
    usable = [one for one in found if one.starts]
    rows = [np.full(len(one.starts), number) for number, one in enumerate(usable)]
    return FileMixtures(
        [address(one.uri, rules) for one in usable],
        np.concatenate(rows) if rows else np.zeros(0, np.int64),
        np.array([start for one in usable for start in one.starts], np.float64),
        np.array([one.duration_s for one in usable], np.float64),
    )


def of_corpus(data: Corpus, *, across: bool = True) -> CorpusMixtures:
    """The windows of the mixtures in a corpus' train split; `across` as for `pools.Chunks`."""
    index = data.of("train").combine_chunks()
    held = index["sources"].to_pylist()
    chunks = pools.Chunks(data.folder, index, data.window_s, across)
    pool = pools.pool(index, held, "mixture", [None] * len(held), chunks)
    return CorpusMixtures(chunks, pool)
