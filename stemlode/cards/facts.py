"""What a corpus holds, added up from its index, and how it was made."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from stemlode import files, tables
from stemlode.shards.tar import SHARD

SPLITS = ("train", "valid", "test")
_COLUMNS = ["split", "song_id", "kind", "sources", "duration_s", "sample_rate", "channels"]
_COLUMNS += ["licence"]


@dataclasses.dataclass
class Amount:
    """How much there is of something."""

    samples: int = 0
    time_us: int = 0  # whole, so that a sum is the same in any order

    def add(self, samples: int, time_us: int) -> None:
        """Count more of it."""
        self.samples += samples
        self.time_us += time_us

    @property
    def hours(self) -> float:
        """Of sound."""
        return self.time_us / 3.6e9


@dataclasses.dataclass(frozen=True)
class Facts:
    """A corpus, as its card and its metadata say it.

    Attributes:
        record: verb, options, inputs, versions, decoder and additions, as in `run.json`.
        outputs: SHA-256 of each file by its path, but for those that say this.
        songs: how many there are in each split.
        splits, sources, kinds, licences: amounts by name; licence "" is not stated.
        shapes: amounts by sample rate and channels.
        common: the sources that every sample has.
    """

    record: Mapping[str, Any]
    outputs: Mapping[str, str]
    songs: Mapping[str, int]
    splits: Mapping[str, Amount]
    sources: Mapping[str, Amount]
    kinds: Mapping[str, Amount]
    licences: Mapping[str, Amount]
    shapes: Mapping[tuple[int, int], Amount]
    common: tuple[str, ...]

    @classmethod
    def read(cls, folder: str, record: Mapping[str, Any], outputs: Mapping[str, str]) -> Self:
        """Add up the index of a corpus: the files of it that `outputs` names below `folder`.

        Memory holds one of them, and the ids of all songs. Raises as `tables.read_part`.
        """
        sums: dict[str, dict[Any, Amount]] = {
            name: {} for name in ("split", "source", "kind", "licence", "shape")
        }
        songs: set[tuple[str, str]] = set()
        common: set[str] | None = None
        for name in sorted(outputs):
            if not name.startswith("index-"):
                continue
            part = tables.read_part(files.join(folder, name), _COLUMNS).combine_chunks()
            times = pc.round(pc.multiply(part["duration_s"], 1e6)).cast(pa.int64())
            part = part.append_column("time_us", times)
            _add(sums["split"], part, ["split"])
            _add(sums["kind"], part, ["kind"])
            _add(sums["licence"], part, ["licence"])
            _add(sums["shape"], part, ["sample_rate", "channels"])
            held = _by_source(part)
            _add(sums["source"], held, ["source"])
            ids = part.select(["split", "song_id"]).group_by(["split", "song_id"]).aggregate([])
            songs |= set(zip(*(ids[c].to_pylist() for c in ("split", "song_id")), strict=True))
            if part.num_rows:
                whole = {n for n, c in tables.count_by(held, "source").items() if c == len(part)}
                common = whole if common is None else common & whole
        order = [split for split in SPLITS if split in sums["split"]]
        ordered = {name: dict(sorted(found.items())) for name, found in sums.items()}
        return cls(
            record,
            dict(sorted(outputs.items())),
            {split: sum(one == split for one, _ in songs) for split in order},
            {split: sums["split"][split] for split in order},
            ordered["source"],
            ordered["kind"],
            ordered["licence"],
            ordered["shape"],
            tuple(sorted(common or ())),
        )

    @property
    def whole(self) -> Amount:
        """Of all splits."""
        found = Amount()
        for amount in self.splits.values():
            found.add(amount.samples, amount.time_us)
        return found

    @property
    def shard_kind(self) -> str:
        """The ending of its shards' names: tar or parquet."""
        kinds = {match[3] for name in self.outputs if (match := SHARD.fullmatch(name))}
        return min(kinds, default="tar")

    @property
    def stemlode(self) -> list[str]:
        """The versions that wrote it, the first one first."""
        runs = [self.record, *self.record.get("additions", [])]
        return [*dict.fromkeys(str(run["versions"].get("stemlode", "")) for run in runs)]


def _by_source(part: pa.Table) -> pa.Table:
    """A row for each source of each sample."""
    held = part["sources"].combine_chunks()
    return pa.table(
        {
            "source": pc.list_flatten(held),
            "time_us": part["time_us"].take(pc.list_parent_indices(held)),
        }
    )


def _add(sums: dict[Any, Amount], part: pa.Table, keys: Iterable[str]) -> None:
    names = [*keys]
    found = part.group_by(names).aggregate([("time_us", "sum"), ("time_us", "count")])
    columns = [found[name].to_pylist() for name in (*names, "time_us_count", "time_us_sum")]
    for *key, samples, time_us in zip(*columns, strict=True):
        at = (key[0] or "") if len(key) == 1 else tuple(key)
        sums.setdefault(at, Amount()).add(samples, time_us)
