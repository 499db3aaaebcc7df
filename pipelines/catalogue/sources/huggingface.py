"""A folder that Hugging Face `datasets` wrote by `save_to_disk`, with or without splits.

Its `state.json` names the files of Arrow that are the data; others beside them are a cache, which
`datasets` leaves there for maps and filters. Free of Beam.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from pipelines.catalogue.formats import arrow_stream
from pipelines.catalogue.formats.rows import CataloguePart, Rows
from pipelines.catalogue.sources.files import Files
from stemlode import files
from stemlode.runs import BadUsage, Failed

ENDING = ".arrow"
STATE = "state.json"
CACHE = "cache-"


class SavedDataset(Files):
    """The data files of one or several data sets."""

    wanted = f"folder with a {STATE} and files that end in {ENDING}"

    def holds(self, path: str) -> bool:
        name = PurePosixPath(path)
        if name.suffix.lower() != ENDING:
            return False
        named = _named(str(path).removesuffix(name.name))
        return not name.name.startswith(CACHE) if named is None else name.name in named

    def is_open(self, path: str) -> bool:
        return False

    def column_names(self, path: str) -> list[str]:
        with self.naming(path):
            return list(arrow_stream.schema(path).names)

    def column_types(self, path: str) -> dict[str, pa.DataType]:
        with self.naming(path):
            return {field.name: field.type for field in arrow_stream.schema(path)}

    def parts(self, path: str) -> list[CataloguePart]:
        return [CataloguePart(path)]

    def batches(self, part: CataloguePart, columns: Sequence[str] | None = None) -> Iterator[Rows]:
        with self.naming(part.path):
            yield from arrow_stream.batches(part.path, columns)


def _named(folder: str) -> set[str] | None:
    """The data files of a folder; None where it has no state.

    BadUsage where the state names no files, or files elsewhere; Failed where one is missing.
    """
    path = f"{folder}{STATE}"
    if not files.exists(path):
        return None
    try:
        held: Any = json.loads(files.read_bytes(path))
        found = {entry["filename"] for entry in held["_data_files"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadUsage(f"{path}: names no _data_files, as save_to_disk writes them") from error
    for name in found:
        if not isinstance(name, str) or PurePosixPath(name).name != name or name in ("", ".."):
            raise BadUsage(f"{path}: names {name!r}, which is no file beside it")
        if not files.exists(f"{folder}{name}"):
            raise Failed(f"{path}: names {name}, which is missing")
    return found
