"""Which tables there are, by the names of their files, and which versions of them this is."""

import re
from collections.abc import Iterable, Sequence

import pyarrow as pa

from stemlode.schemas import maps
from stemlode.schemas.catalogue import TRACK
from stemlode.schemas.corpus import INDEX, LANDMARKS, SONG
from stemlode.schemas.pairs import CANDIDATE, SCORED_PAIR
from stemlode.schemas.rejects import REJECT
from stemlode.schemas.salience import SALIENCE

TABLES = {
    "catalogue": TRACK,
    "candidates": CANDIDATE,
    "pairs": SCORED_PAIR,
    "index": INDEX,
    "songs": SONG,
    "landmarks": LANDMARKS,
    "salience": SALIENCE,
    "rejects": REJECT,
}
# Of what is written now. Version 2 of the index says where each file of a sample lies (`members`);
# in version 3 its maps lie as lists of entries (`maps`).
VERSIONS = {**dict.fromkeys(TABLES, 1), "index": 3, "shards": 1}
_WITHOUT_MAPS = ("index",)
_TABLE_FILE = re.compile(r"([a-z]+)(?:-append\d+)?-\d{5}-of-\d{5}\.parquet")
_SHARD_FILE = re.compile(r"(?:train|valid|test)/[^/]+")


def name_of(path: str) -> str:
    """Which of VERSIONS a run's file is by its path below the run folder; empty for another."""
    if _SHARD_FILE.fullmatch(path):
        return "shards"
    found = _TABLE_FILE.fullmatch(path)
    return found[1] if found and found[1] in TABLES else ""


def schema_of(path: str) -> pa.Schema | None:
    """The schema of a table by the name of one of its files, wherever that lies."""
    return TABLES.get(name_of(path.rpartition("/")[2]))


def as_stored(path: str, table: pa.Table) -> pa.Table:
    """A table as it lies on disk, by the name of one of its files."""
    return maps.stored(table) if name_of(path) in _WITHOUT_MAPS else table


def versions_of(outputs: Iterable[str]) -> dict[str, int]:
    """The versions of a run's tables and shards, by its files' paths below the run folder."""
    names = {name_of(path) for path in outputs} - {""}
    return {name: VERSIONS[name] for name in sorted(names)}


def unknown_version(stated: object) -> str:
    """Says what of a run's `schemas` this Stemlode cannot read; empty where it can read all.

    A run without any was written before versions were, and is of version 1.
    """
    if stated is None:
        return ""
    if not isinstance(stated, dict):
        return "schemas is no object"
    for name, version in sorted(stated.items()):
        if type(version) is not int or version < 1:
            return f"schemas says {name} {version!r}, which is no version"
        if version > VERSIONS.get(name, version):
            return (
                f"version {version} of its {name} was written by a later Stemlode, and this one "
                f"reads up to {VERSIONS[name]}; update Stemlode"
            )
    return ""


def lacking(schema: pa.Schema, names: Sequence[str]) -> list[str]:
    """The columns that a table of any age must have and this one, by its columns, has not."""
    return [
        field.name
        for field in schema
        if field.name not in names and b"since" not in (field.metadata or {})
    ]
