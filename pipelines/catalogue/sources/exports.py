"""Files that another program writes always alike: which of its columns is which. Free of Beam."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from pipelines.catalogue.formats.json_rows import Objects
from pipelines.catalogue.formats.rows import ArrowRows, CataloguePart, Rows
from pipelines.catalogue.sources.files import Files, format_of


class Made(NamedTuple):
    """A column of ours that a file has not as such.

    of: the columns of which any one will do.
    how: makes it from that one, which is text.
    """

    of: Sequence[str]
    how: Callable[[pa.StringArray], pa.StringArray]


class Export(Files):
    """CSV or JSON that a program exports.

    names: what it calls our columns, likelier names first.
    made: columns of ours that are made of one of its CSV's.
    """

    names: Mapping[str, Sequence[str]] = {}
    made: Mapping[str, Made] = {}

    @staticmethod
    def reading(objects: Objects) -> Objects:
        """Objects as they stand."""
        return objects

    def holds(self, path: str) -> bool:
        return format_of(path) in ("csv", "tsv", "json")

    def calls(self, path: str) -> Mapping[str, Sequence[str]]:
        return self.names

    def column_names(self, path: str) -> list[str]:
        inside = super().column_names(path)
        return [*inside, *(self._made(inside) if self.is_csv(path) else {})]

    def batches(self, part: CataloguePart, columns: Sequence[str] | None = None) -> Iterator[Rows]:
        found = self._made(super().column_names(part.path)) if self.is_csv(part.path) else {}
        wanted = columns
        if columns is not None:
            found = {ours: name for ours, name in found.items() if ours in columns}
            own = [name for name in columns if name not in found]
            wanted = [*dict.fromkeys([*own, *found.values()])]
        for rows in super().batches(part, wanted):
            batch = rows.batch if isinstance(rows, ArrowRows) else None
            if batch is None or not found:
                yield rows
                continue
            for ours, name in found.items():
                batch = batch.append_column(ours, self.made[ours].how(batch.column(name)))
            yield ArrowRows(batch, rows.broken)

    def _made(self, inside: list[str]) -> dict[str, str]:
        """The columns that can be made for a file, each with what it is made of."""
        found = {}
        for ours, made in self.made.items():
            there = [name for name in made.of if name in inside]
            if there and ours not in inside:
                found[ours] = there[0]
        return found
