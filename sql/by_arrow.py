"""Relations of the statement that Arrow and NumPy make faster than DuckDB's functions of texts.

Each has the rows that the statement's own text for it would give: that text is for databases that
cannot ask Python.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matching.latin import latinise_batch
from matching.rules import Rule
from matching.text_rows import occurrences, string_bytes
from matching.titles import MARKERS

Read = Callable[[str], Iterable[pa.RecordBatch]]  # runs a query on relations before this one
TEXT, NUMBER = pa.string(), pa.uint64()
NUMBERS_AT_ONCE = 1 << 25  # 256 MiB


@dataclass(frozen=True)
class Made:
    """A relation: its columns, and its rows, of which some may come more than once."""

    schema: pa.Schema
    rows: Callable[[Read], Iterator[pa.Table]]


def relations(rule: Rule) -> dict[str, Made]:
    """What makes each of them, by name."""
    words = () if rule.is_extended else MARKERS
    return {
        "noted": Made(pa.schema({"text": TEXT}), lambda read: noted(read, words)),
        "latin_texts": Made(pa.schema({"text": TEXT, "latin": TEXT}), latin_texts),
        "again": Made(pa.schema({"number": NUMBER}), again),
    }


def noted(read: Read, words: Iterable[str]) -> Iterator[pa.Table]:
    """Of `printed_titles` the texts that are not in ASCII or hold one of the words."""
    for batch in read("SELECT text FROM printed_titles"):
        texts = batch["text"]
        data, offsets = string_bytes(pc.ascii_lower(texts))
        joined = data.tobytes()
        foreign = np.searchsorted(offsets, np.flatnonzero(data >= 0x80), side="right") - 1
        chosen = np.zeros(len(texts), bool)
        for rows in (foreign, *(occurrences(word, joined, offsets)[1] for word in words)):
            chosen[rows] = True
        yield pa.table({"text": texts.filter(pa.array(chosen)).unique()})


def latin_texts(read: Read) -> Iterator[pa.Table]:
    """`foreign_texts` and what they are in Latin letters."""
    for batch in read("SELECT text FROM foreign_texts"):
        yield pa.table({"text": batch["text"], "latin": latinise_batch(batch["text"])})


def again(read: Read) -> Iterator[pa.Table]:
    """The `numbered_ids` that are there more than once."""
    (batch,) = read("SELECT COUNT(*) AS number FROM catalogue")
    parts = 1 + batch["number"][0].as_py() // NUMBERS_AT_ONCE
    for part in range(parts):
        some = f" WHERE MOD(number, {parts}) = {part}" if parts > 1 else ""
        batches = read(f"SELECT number FROM numbered_ids{some}")
        numbers = np.concatenate([np.empty(0, np.uint64), *(batch["number"] for batch in batches)])
        numbers.sort()
        yield pa.table({"number": np.unique(numbers[1:][numbers[1:] == numbers[:-1]])})
