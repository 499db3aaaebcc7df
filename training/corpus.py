"""Reads a corpus for training: shards streamed by webdataset, decoded in worker processes.

The order is a function of seed, epoch and number of workers alone, so that a killed run can go on
at the very sample where it stopped. A sample that cannot be used comes out as `Bad`, in its place.
"""

import dataclasses
import io
import json
import random
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import soundfile
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from webdataset import filters, tariterators

from pipelines import audio, files, runs
from pipelines.runs import BadUsage, Failed
from training.recipes import Recipe

SHUFFLE_BUFFER = 64  # encoded samples a worker holds to shuffle among
COLUMNS = ["sample_id", "song_id", "split_group", "split", "shard", "sources", "start_s"]
COLUMNS += ["track_ids", "offset", "size", "salient", "duration_s", "sample_rate", "scale"]


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A finished corpus folder and the part of its index that training needs."""

    folder: str
    index: pa.Table

    def shards(self, split: str) -> list[str]:
        """Paths of a split's shards, in order."""
        names = sorted(self.of(split)["shard"].unique().to_pylist())
        return [files.join(self.folder, name) for name in names]

    def usable(self, split: str, target: str) -> int:
        """How many of a split's samples can teach a target."""
        return sum(bool(needs(held, target)) for held in self.of(split)["sources"].to_pylist())

    def of(self, split: str) -> pa.Table:
        """The rows of a split."""
        return self.index.filter(pc.equal(self.index["split"], split))


@dataclasses.dataclass(frozen=True)
class Window:
    """A decoded sample at the recipe's rate, with as many channels as it trains on.

    `reference` is the target itself, or the accompaniment that leaves it of the mixture where
    `residual` is true.
    """

    sample_id: str
    song: str
    mixture: Tensor  # float32 [channels, samples]
    reference: Tensor  # float32 [channels, samples]
    residual: bool


@dataclasses.dataclass(frozen=True)
class Bad:
    """A sample or shard that could not be used, and why."""

    key: str
    reason: str


def open_corpus(folder: str) -> Corpus:
    """A corpus by its folder.

    Raises BadUsage where the folder holds no finished corpus, Failed where its index is damaged or
    a song stands in two splits.
    """
    try:
        record = runs.record(folder)
    except BadUsage as error:
        raise BadUsage(f"--corpus {error}") from error
    parts = sorted(path for path in record["outputs"] if path.startswith("index-"))
    if not parts:
        raise BadUsage(f"--corpus {folder}: holds a run of {record['verb']}, not a corpus")
    tables = []
    for part in parts:
        path = files.join(folder, part)
        try:
            with files.open_input(path) as file:
                table = pq.ParquetFile(file, pre_buffer=False)
                tables.append(table.read(columns=COLUMNS, use_threads=False))
        except (OSError, pa.ArrowException) as error:
            raise Failed(f"{path}: unreadable index: {runs.reason(error)}") from error
    corpus = Corpus(folder, pa.concat_tables(tables))
    check_splits(corpus.index)
    return corpus


def check_splits(index: pa.Table) -> None:
    """Failed where a song, or songs that must stay together, stand in two splits."""
    for column in ("split_group", "song_id"):
        splits = defaultdict(set)
        for key, split in zip(index[column].to_pylist(), index["split"].to_pylist(), strict=True):
            splits[key].add(split)
        for key, found in splits.items():
            if len(found) > 1:
                raise Failed(f"the corpus has {column} {key} in {' and '.join(sorted(found))}")


def needs(sources: Iterable[str], target: str) -> tuple[str, ...]:
    """The sources to decode of a sample; empty where it cannot teach the target."""
    held = set(sources)
    if "mixture" in held and target in held:
        return ("mixture", target)
    if target == "vocals" and {"mixture", "accompaniment"} <= held:
        return ("mixture", "accompaniment")
    return ()


class Windows(IterableDataset):
    """One epoch of a split each time it is iterated: a Window, Bad or None a sample.

    None stands for a sample among the first `skip` of the first epoch, which is not decoded.
    Iterate it through `loader`; every worker takes its share of the shards, or of the samples
    where there are fewer shards than workers.
    """

    def __init__(
        self,
        corpus: Corpus,
        split: str,
        recipe: Recipe,
        *,
        seed: int = 0,
        epoch: int = 0,
        skip: int = 0,
        shuffle: bool = False,
        crop: bool = False,
        cache_bytes: int = 0,
    ) -> None:
        """`crop` cuts patches of the recipe's length at random; without it samples stay whole.

        Each worker keeps up to `cache_bytes` of decoded samples for the epochs to come.
        """
        self.shards = corpus.shards(split)
        self.recipe, self.seed, self.epoch, self.skip = recipe, seed, epoch, skip
        self.shuffle, self.crop, self.cache_bytes = shuffle, crop, cache_bytes
        self.cache: dict[str, Window] = {}
        self.cached_bytes = 0

    def __iter__(self) -> Iterator[Window | Bad | None]:
        # A persistent worker keeps this object, so that epochs count up in every worker alike.
        epoch, self.epoch = self.epoch, self.epoch + 1
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        skip, self.skip = self.skip // workers, 0
        rng = random.Random(f"{self.seed} {epoch} {worker}")
        shards = list(self.shards)
        if self.shuffle:
            random.Random(f"{self.seed} {epoch}").shuffle(shards)
        by_shard = len(shards) >= workers
        broken: list[Bad] = []
        samples = self._samples(shards[worker::workers] if by_shard else shards, broken)
        if not by_shard:
            samples = islice(samples, worker, None, workers)
        if self.shuffle:
            samples = filters._shuffle(samples, SHUFFLE_BUFFER, SHUFFLE_BUFFER, rng)
        for position, sample in enumerate(samples):
            yield None if position < skip else self._window(sample, epoch)
        yield from broken

    def _samples(self, shards: list[str], broken: list[Bad]) -> Iterator[dict[str, Any]]:
        """Encoded samples of some shards; what cannot be read is noted in `broken`."""
        wanted = (".json", ".mixture.flac", f".{self.recipe.target}.flac", ".accompaniment.flac")
        reading = [""]

        def opened() -> Iterator[dict[str, Any]]:
            for shard in shards:
                reading[0] = shard
                try:
                    with files.open_input(shard) as stream:
                        yield {"url": shard, "stream": stream}
                except OSError as error:
                    broken.append(Bad(shard, runs.reason(error)))

        def note(error: Exception) -> bool:
            broken.append(Bad(reading[0], f"damaged shard: {error.args[0] if error.args else ''}"))
            return True

        parts = tariterators.tar_file_expander(
            opened(), handler=note, select_files=lambda name: name.endswith(wanted)
        )
        for sample in tariterators.group_by_keys(parts, handler=note):
            if self._teaches(sample):
                yield sample

    def _teaches(self, sample: dict[str, Any]) -> bool:
        """Whether a sample is meant for this target; a damaged one counts, to come out as Bad."""
        try:
            return bool(needs(json.loads(sample["json"])["sources"], self.recipe.target))
        except (KeyError, TypeError, ValueError):
            return True

    def _window(self, sample: dict[str, Any], epoch: int) -> Window | Bad:
        key = sample["__key__"]
        window = self.cache.get(key) or decode(sample, self.recipe)
        if isinstance(window, Bad):
            return window
        if key not in self.cache and self.cached_bytes < self.cache_bytes:
            self.cache[key] = window
            self.cached_bytes += window.mixture.nbytes + window.reference.nbytes
        if not self.crop:
            return window
        rng = random.Random(f"{self.seed} {epoch} {key}")
        return cut(window, self.recipe.patch_samples, rng)


def decode(sample: dict[str, Any], recipe: Recipe) -> Window | Bad:
    """Decode what a recipe needs of an encoded sample: its channels and rate, true level."""
    key = sample["__key__"]
    try:
        facts = json.loads(sample["json"])
        names = needs(facts["sources"], recipe.target)
        mixture, reference = (_source(sample, facts, name, recipe) for name in names)
        if mixture.shape != reference.shape:
            raise ValueError("its sources differ in length")
        song = " ".join([facts["song_id"], *(facts["track_ids"] or [])])
    except soundfile.LibsndfileError as error:
        return Bad(key, f"does not decode: {error.error_string}")
    except KeyError as error:
        return Bad(key, f"lacks {error.args[0]}")
    except (ValueError, TypeError) as error:
        return Bad(key, runs.reason(error))
    return Window(key, song, mixture, reference, residual=names[1] != recipe.target)


def _source(sample: dict[str, Any], facts: dict[str, Any], name: str, recipe: Recipe) -> Tensor:
    """One source of a sample: float32 [channels, samples] at the recipe's rate."""
    frames, from_rate = soundfile.read(
        io.BytesIO(sample[f"{name}.flac"]), dtype="float32", always_2d=True
    )
    if not len(frames):
        raise ValueError(f"{name} is empty")
    channels = frames.T * np.float32(facts["scale"])
    if recipe.audio_channels == 1:
        channels = channels.mean(axis=0, keepdims=True)
    elif len(channels) == 1:
        channels = np.repeat(channels, recipe.audio_channels, axis=0)
    elif len(channels) != recipe.audio_channels:
        raise ValueError(f"{name} has {len(channels)} channels")
    found = audio.resample(np.ascontiguousarray(channels), from_rate, recipe.sample_rate)
    return torch.from_numpy(found)


def cut(window: Window, samples: int, rng: random.Random) -> Window:
    """A piece of `samples` at a random place, or the whole with zeros after it."""
    spare = window.mixture.shape[-1] - samples
    if spare < 0:
        pad = torch.nn.functional.pad
        pieces = [pad(part, (0, -spare)) for part in (window.mixture, window.reference)]
    else:
        start = rng.randint(0, spare)
        pieces = [part[:, start : start + samples] for part in (window.mixture, window.reference)]
    return dataclasses.replace(window, mixture=pieces[0], reference=pieces[1])


def loader(windows: Windows, workers: int, ahead: int = 16) -> Iterable[Window | Bad | None]:
    """The items of `windows` from worker processes, at most `ahead` of them waiting.

    Each iteration is one epoch; the workers live on between epochs.
    """
    if not workers:
        return windows
    return DataLoader(
        windows,
        batch_size=None,
        num_workers=workers,
        collate_fn=as_is,
        prefetch_factor=max(2, -(-ahead // workers)),
        generator=torch.Generator(),  # the global one belongs to the training loop
        persistent_workers=True,
        worker_init_fn=ignore_interrupts,
    )


def as_is(item: Any) -> Any:
    """Nothing to collate."""
    return item


def ignore_interrupts(_: int) -> None:
    """Ctrl-C is for the parent, which then ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
