"""Columns that folders name: Hive's partitions, such as `artist=Muse/year=2001/`. Free of Beam."""

from pathlib import PurePosixPath
from urllib.parse import unquote

from stemlode.runs import BadUsage

HIVE = "hive"
OPTION = f"--partitions {HIVE}"
NULL = "__HIVE_DEFAULT_PARTITION__"  # the folder of rows that have no value


def of(path: str) -> dict[str, str | None]:
    """The columns of a file's folders and the value that all its rows have, always text.

    BadUsage where two folders name one column, or where a name is no UTF-8.
    """
    found: dict[str, str | None] = {}
    for folder in PurePosixPath(path).parts[:-1]:
        name, equals, value = folder.partition("=")
        if not name or not equals:
            continue
        try:
            name, text = (unquote(part, errors="strict") for part in (name, value))
            f"{name}{text}".encode()
        except UnicodeError as error:
            raise BadUsage(f"{path}: the folder {ascii(folder)[1:-1]} is no UTF-8") from error
        if name in found:
            raise BadUsage(f"{path}: two folders name the column {name}")
        found[name] = None if value == NULL else text or None
    return found
