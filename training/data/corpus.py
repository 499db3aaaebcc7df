"""Reads a corpus for training: the samples of a split in any order, decoded in worker processes.

The order depends on seed and epoch alone, not on the number of workers, so a killed run goes on at
the sample where it stopped, without reading again what it has used. A sample that cannot be used
comes out as `Bad`, in its place.
"""

import contextlib
import copy
import dataclasses
import math
import random
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch.utils.data import DataLoader, Dataset

from stemlode import files, retry, runs, tables
from stemlode.runs import BadUsage, Failed
from stemlode.shards import reading
from training.data import buffers
from training.data.windows import (
    HOME,
    UNREADABLE,
    Bad,
    Room,
    Window,
    cut,
    decode,
    fresh,
    home,
    needs,
    patch,
)
from training.devices import ALONE, World
from training.recipes.base import Recipe

if TYPE_CHECKING:
    from training.data.salience import Salience

COLUMNS = ["sample_id", "song_id", "split_group", "split", "shard", "sources", "start_s"]
COLUMNS += ["track_ids", "offset", "size", "salient", "duration_s", "sample_rate", "scale"]
COLUMNS += ["channels", "members"]
KNOWN_OF_SONGS = ("augmentation", "genre", "tempo", "key")  # read where an index has them


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A finished corpus folder and the part of its index that training needs."""

    folder: str
    index: pa.Table
    window_s: float = 6.0  # length of the index's salient windows
    salience: "Salience | None" = None  # beside its samples; read where it is there

    def usable(self, split: str, target: str) -> int:
        """How many of a split's samples can teach a target."""
        return sum(bool(needs(held, target)) for held in self.of(split)["sources"].to_pylist())

    def of(self, split: str) -> pa.Table:
        """The rows of a split."""
        return self.index.filter(pc.equal(self.index["split"], split))


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
    columns = [*COLUMNS, *KNOWN_OF_SONGS]
    held = [tables.read_part(files.join(folder, part), columns) for part in parts]
    index = pa.concat_tables(held, promote_options="default")  # parts may lack what others know
    window_s = float(record.get("options", {}).get("window_seconds", Corpus.window_s))
    corpus = Corpus(folder, index, window_s)
    check_splits(corpus.index)
    return corpus


def open_corpora(folders: Sequence[str]) -> Corpus:
    """Several corpora as one, such as labelled songs and what `stemlode pseudolabel` wrote.

    Raises as `open_corpus`, and BadUsage where two hold the same song, or windows of two lengths.
    """
    first, *others = [open_corpus(folder) for folder in folders]
    tables = [first.index]
    of_song = dict.fromkeys(first.index["song_id"].unique().to_pylist(), first.folder)
    for other in others:
        twice = sorted(set(other.index["song_id"].unique().to_pylist()) & of_song.keys())
        if twice:
            where = of_song[twice[0]]
            raise BadUsage(f"--corpus {other.folder}: song {twice[0]} is in {where} as well")
        measured = other.index["salient"].null_count < len(other.index)
        if measured and other.window_s != first.window_s:
            raise BadUsage(
                f"--corpus {other.folder}: made with --window-seconds {other.window_s:g}, and "
                f"{first.folder} with {first.window_s:g}"
            )
        of_song |= dict.fromkeys(other.index["song_id"].unique().to_pylist(), other.folder)
        homes = pa.array([other.folder] * len(other.index), pa.string())
        tables.append(other.index.append_column(HOME, homes))
    index = pa.concat_tables(tables, promote_options="default")
    check_splits(index)
    return dataclasses.replace(first, index=index)


def check_splits(index: pa.Table) -> None:
    """Failed where a song, or songs that must stay together, stand in two splits."""
    for column in ("split_group", "song_id"):
        splits = defaultdict(set)
        for key, split in zip(index[column].to_pylist(), index["split"].to_pylist(), strict=True):
            splits[key].add(split)
        for key, found in splits.items():
            if len(found) > 1:
                raise Failed(f"the corpus has {column} {key} in {' and '.join(sorted(found))}")


Asked = tuple[int, int, bool]  # epoch, row of the split, whether the whole sample is wanted


class Windows:
    """One epoch of a split each time it is iterated: a Window, Bad or None a sample.

    None stands for a sample among the first `skip` of the first epoch, which is not read. Iterate
    it through `loader`, or in this process as it is.
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
        world: World = ALONE,
    ) -> None:
        """`crop` cuts patches of the recipe's length at random; without it samples stay whole.

        Up to `cache_bytes` of decoded samples are kept for the epochs to come, for every worker.
        The processes of `world` share an epoch: of n processes each takes every n-th sample.
        """
        self.samples = SplitSamples(corpus, split, recipe, seed, crop)
        self.seed, self.epoch, self.skip, self.shuffle = seed, epoch, skip, shuffle
        self.world, self.cache_bytes = world, cache_bytes
        self.cache: dict[int, Window] = {}  # by row
        self.cached_bytes = 0

    def order(self, epoch: int) -> np.ndarray:
        """The rows of an epoch, int64, for this rank."""
        count = len(self.samples)
        if not self.shuffle:
            return np.arange(count)[self.world.rank :: self.world.size]
        seed = random.Random(f"{self.seed} {epoch}").getrandbits(32)
        # RandomState's streams never change, unlike those of NumPy's newer generators.
        return np.random.RandomState(seed).permutation(count)[self.world.rank :: self.world.size]

    def __iter__(self) -> Iterator[Window | Bad | None]:
        return self.through(lambda asked: map(self.samples.__getitem__, asked), self.cache_bytes)

    def through(
        self, fetch: Callable[[Iterable[Asked]], Iterator[Window | Bad]], cache_bytes: int
    ) -> Iterator[Window | Bad | None]:
        """An epoch; `fetch` gives what is asked for, in that order."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        skip, self.skip = self.skip, 0
        order = self.order(epoch)
        yield from repeat(None, min(skip, len(order)))
        rows: list[int] = order[skip:].tolist()
        fetched = fetch(self._asked(rows, epoch, cache_bytes))
        for row in rows:
            item: Window | Bad = self.cache[row] if row in self.cache else next(fetched)
            if isinstance(item, Window) and item.whole and row not in self.cache:
                self.cache[row] = item
                self.cached_bytes += item.nbytes
            if isinstance(item, Window) and item.whole and self.samples.crop:
                item = self.samples.cropped(item, epoch)
            yield item

    def _asked(self, rows: list[int], epoch: int, cache_bytes: int) -> Iterator[Asked]:
        """What must be read, each with whether it is to be cached."""
        claimed = self.cached_bytes
        for row in rows:
            if row not in self.cache:
                size = self.samples.decoded_bytes(row) if cache_bytes else 0
                keep = 0 < size <= cache_bytes - claimed
                claimed += size if keep else 0
                yield epoch, row, keep


class SplitSamples(Dataset[Window | Bad]):
    """The samples of a split that can teach a recipe, in their order on disk; read one by one."""

    def __init__(self, corpus: Corpus, split: str, recipe: Recipe, seed: int, crop: bool) -> None:
        rows = corpus.of(split)
        taught = [bool(needs(held, recipe.target)) for held in rows["sources"].to_pylist()]
        order = [("shard", "ascending"), ("offset", "ascending")]
        self.index = rows.filter(pa.array(taught, pa.bool_())).sort_by(order).combine_chunks()
        self.folder, self.recipe, self.seed, self.crop = corpus.folder, recipe, seed, crop
        self.salience = corpus.salience
        self.room: Room = fresh  # where to decode what comes out whole

    def __len__(self) -> int:
        return self.index.num_rows

    def __getitem__(self, asked: Asked) -> Window | Bad:
        epoch, number, whole = asked
        (row,) = self.index.slice(number, 1).to_pylist()
        if self.crop and not whole and (found := self._patch(row, epoch)) is not None:
            return found
        window = self._read(row, fresh if self.crop and not whole else self.room)
        if isinstance(window, Bad):
            return window
        if whole:
            return dataclasses.replace(window, whole=True)
        return self.cropped(window, epoch) if self.crop else window

    def cropped(self, window: Window, epoch: int) -> Window:
        """The patch that an epoch takes of a whole sample."""
        return cut(window, self.recipe.patch_samples, self._rng(epoch, window.sample_id))

    def _rng(self, epoch: int, sample_id: str) -> random.Random:
        return random.Random(f"{self.seed} {epoch} {sample_id}")

    def _patch(self, row: dict[str, Any], epoch: int) -> Window | None:
        """The same patch, if it can be read alone."""
        if self.salience is not None:
            return None
        rng, folder = self._rng(epoch, row["sample_id"]), home(self.folder, row)
        with contextlib.suppress(*UNREADABLE):  # the whole sample says what is wrong
            return patch(folder, row, self.recipe, rng)
        return None

    def decoded_bytes(self, number: int) -> int:
        """About how much memory a whole sample takes: two sources, float32."""
        seconds = self.index["duration_s"][number].as_py()
        return math.ceil(seconds * self.recipe.sample_rate) * self.recipe.audio_channels * 2 * 4

    def _read(self, row: dict[str, Any], room: Room) -> Window | Bad:
        names = [f"{name}.flac" for name in needs(row["sources"], self.recipe.target)]
        try:
            held = retry.repeatedly(lambda: reading.contents(home(self.folder, row), row, names))
            window = decode(row, held, self.recipe, room)
            if self.salience is None or isinstance(window, Bad):
                return window
            return self.salience.beside(window)
        except (OSError, ValueError, pa.ArrowException) as error:
            return Bad(row["sample_id"], f"{row['shard']}: {runs.reason(error)}")


def loader(windows: Windows, workers: int, ahead: int = 16) -> Iterable[Window | Bad | None]:
    """The items of `windows` from worker processes, at most `ahead` of them waiting.

    Each iteration is one epoch; the workers live on between epochs.
    """
    return _Loader(windows, workers, ahead) if workers else windows


class _Loader:
    """Epochs of `Windows`, decoded by worker processes that stay."""

    def __init__(self, windows: Windows, workers: int, ahead: int) -> None:
        self.windows, self.cache_bytes = windows, windows.cache_bytes * workers
        self.sampler, self.receiver = _Sampler(), buffers.Receiver()
        each = max(2, -(-ahead // workers))
        self.items = DataLoader(
            _Sending(windows.samples),
            batch_size=None,
            sampler=self.sampler,
            num_workers=workers,
            collate_fn=as_is,
            prefetch_factor=each,
            generator=torch.Generator(),  # the global one belongs to the training loop
            persistent_workers=True,
            worker_init_fn=ignore_interrupts,
        )

    def __iter__(self) -> Iterator[Window | Bad | None]:
        return self.windows.through(self._fetch, self.cache_bytes)

    def _fetch(self, asked: Iterable[Asked]) -> Iterator[Window | Bad]:
        # A generator, so that an epoch which is all in the cache wakes no worker.
        self.sampler.asked = asked
        yield from map(self.receiver.take, iter(self.items))


class _Sending(Dataset[buffers.Sent | Bad]):
    """Samples as a worker process sends them."""

    def __init__(self, samples: SplitSamples) -> None:
        self.samples, self.buffers = copy.copy(samples), buffers.Buffers()
        self.samples.room = self.buffers.room

    def __getitem__(self, asked: Asked) -> buffers.Sent | Bad:
        self.buffers.begin()
        return self.buffers.put(self.samples[asked])


class _Sampler:
    """What the loader is asked for in its current epoch."""

    asked: Iterable[Asked] = ()

    def __iter__(self) -> Iterator[Asked]:
        return iter(self.asked)


def as_is(item: Any) -> Any:
    """The item; nothing is collated."""
    return item


def ignore_interrupts(_: int) -> None:
    """Ctrl-C and SIGTERM are for the parent, which then ends its workers: by a second SIGTERM if
    they do not end by themselves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
