"""A corpus, opened: its tables as Arrow, its audio as NumPy arrays or, by PyTorch, as tensors."""

import dataclasses
import importlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stemlode import files, runs, tables
from stemlode.api import calls
from stemlode.audio import AudioError
from stemlode.retry import repeatedly
from stemlode.runs import BadUsage, Failed
from stemlode.shards import songs
from stemlode.tables import Row

if TYPE_CHECKING:
    from training.data.dataset import CorpusDataset

SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A stretch of a song.

    Attributes:
        audio: float32 [channels, samples] by source, at true level: sources sum to the mixture.
        sample_rate: of all of it, in Hz.
        row: what the index says of it, by column.
    """

    audio: dict[str, np.ndarray]
    sample_rate: int
    row: Row

    @property
    def sample_id(self) -> str:
        """Its id, and its name in the shard."""
        return self.row["sample_id"]

    @property
    def song_id(self) -> str:
        """The song that it is cut from."""
        return self.row["song_id"]


@dataclasses.dataclass(frozen=True)
class OpenCorpus:
    """A finished corpus, or a part of one.

    Iterate it for its chunks, in the order of its index.

    Attributes:
        folder: where it lies.
        index: a row for each chunk (`schemas.INDEX`).
        sources: the sources to decode; None for all that each chunk has.
    """

    folder: str
    index: pa.Table
    sources: tuple[str, ...] | None = None

    @property
    def songs(self) -> pa.Table:
        """What the corpus says of its songs, a row for each recording (`schemas.SONG`)."""
        return tables.read(self.folder, "songs")

    @property
    def hours(self) -> float:
        """Of all its chunks."""
        return (pc.sum(self.index["duration_s"]).as_py() or 0.0) / 3600

    def split(self, name: str) -> "OpenCorpus":
        """The chunks of `train`, `valid` or `test`."""
        if name not in SPLITS:
            raise BadUsage(f"no split is called {name!r}: they are {', '.join(SPLITS)}")
        return dataclasses.replace(
            self, index=self.index.filter(pc.equal(self.index["split"], name))
        )

    def with_sources(self, *names: str) -> "OpenCorpus":
        """The chunks that have all of these sources, and of each no more than these.

        BadUsage where no chunk has them.
        """
        has = [{*names} <= {*held} for held in self.index["sources"].to_pylist()]
        if not any(has):
            known = sorted({one for held in self.index["sources"].to_pylist() for one in held})
            raise BadUsage(
                f"{self.folder}: no chunk has all of {', '.join(names)}; "
                f"there are {', '.join(known) or 'none'}"
            )
        found = self.index.filter(pa.array(has, pa.bool_()))
        return dataclasses.replace(self, index=found, sources=names)

    def __len__(self) -> int:
        return self.index.num_rows

    def __getitem__(self, number: int) -> Chunk:
        """A chunk by its place in the index. Failed where it is damaged or cannot be reached."""
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        (row,) = self.index.slice(number % len(self), 1).to_pylist()
        try:
            audio = repeatedly(lambda: songs.chunk(self.folder, row, self.sources))
        except AudioError as error:
            raise Failed(f"{self.folder}: {error}") from error
        except OSError as error:
            raise Failed(f"{self.folder}: {row['shard']}: {runs.reason(error)}") from error
        return Chunk(audio, row["sample_rate"], row)

    def __iter__(self) -> Iterator[Chunk]:
        return map(self.__getitem__, range(len(self)))

    def torch(self, **options: Any) -> "CorpusDataset":
        """A `torch.utils.data.IterableDataset` of the chunks; `CorpusDataset` says what it takes:
        `batch_size`, `seconds`, `seed`, `epoch`, `position`, …"""
        try:
            dataset = importlib.import_module("training.data.dataset").CorpusDataset
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            line = importlib.import_module("stemlode.extras").line("torch", ["train"], "torch()")
            raise ImportError(line, name="torch") from error
        return dataset(self, **options)

    def __repr__(self) -> str:
        return f"<OpenCorpus {self.folder}: {len(self):,} chunks, {self.hours:.2f} hours>"


def open_corpus(folder: Any, sources: Sequence[str] | None = None) -> OpenCorpus:
    """A corpus by its folder or Run, opened without reading its audio.

    Args:
        folder: what `corpus` or `pseudolabel` wrote.
        sources: only chunks that have all of these, and only these of each.

    BadUsage where there is no finished corpus, Failed where its index is damaged.
    """
    whole = files.absolute(calls.path_of(folder))
    parts = [path for path in runs.record(whole)["outputs"] if path.startswith("index-")]
    if not parts:
        raise BadUsage(f"{whole}: holds a run of {runs.record(whole)['verb']}, not a corpus")
    index = tables.read(whole, "index")
    order = [("shard", "ascending"), ("offset", "ascending")]
    found = OpenCorpus(whole, index.sort_by(order).combine_chunks())
    return found if sources is None else found.with_sources(*sources)
