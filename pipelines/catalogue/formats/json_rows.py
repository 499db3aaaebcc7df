"""The rows of a JSON Lines file. Free of Beam."""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import IO

from pipelines.catalogue.formats import text
from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.formats.rows import BATCH_ROWS, Broken, JsonRows, Rows
from stemlode.runs import BadUsage, reason
from stemlode.tables import Row

PEEK_ROWS = 1000
Objects = Iterator[tuple[Row | None, Broken | None]]  # an object, or a line that is none
Reading = Callable[[Objects], Objects]  # what a source makes of a file's objects


def names(path: str, reading: Reading, dialect: Dialect) -> list[str]:
    """The columns that the first rows have; later ones may have more."""
    with text.opened(path, dialect.encoding) as file:
        first = itertools.islice(reading(_objects(path, file)), PEEK_ROWS)
        return list(dict.fromkeys(key for row, _ in first if row for key in row))


def batches(path: str, reading: Reading, dialect: Dialect) -> Iterator[Rows]:
    """All objects of a file, and the lines that are none."""
    with text.opened(path, dialect.encoding) as file:
        rows = reading(_objects(path, file))
        while batch := list(itertools.islice(rows, BATCH_ROWS)):
            good = [row for row, _ in batch if row is not None]
            yield JsonRows(good, [error for _, error in batch if error is not None])


def _objects(path: str, file: IO[bytes]) -> Objects:
    """Each line that is not blank: an object, or why it is none."""
    for number, line in enumerate(file):
        said = line.decode().strip()
        if number == 0 and said.startswith("["):
            raise BadUsage(f"{path}: is a JSON array; write one object a line (JSON Lines)")
        if not said:
            continue
        try:
            row = json.loads(said)
        except (ValueError, RecursionError) as error:
            yield None, (said, f"no JSON: {reason(error)}")
            continue
        yield (row, None) if isinstance(row, dict) else (None, (said, "no JSON object"))
