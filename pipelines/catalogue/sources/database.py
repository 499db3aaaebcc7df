"""A table in a DuckDB database. Free of Beam.

The file is opened for reading alone, in a DuckDB that may open no other file, install nothing and
load nothing. Only tables are read: a view is a query, and runs whatever it says.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import duckdb
import pyarrow as pa

from pipelines.catalogue.formats.arrow_types import settled
from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.formats.rows import BATCH_ROWS, PART_ROWS, ArrowRows, CataloguePart, Rows
from pipelines.catalogue.formats.text import naming
from pipelines.catalogue.sources.files import Files
from stemlode import files
from stemlode.runs import BadUsage, Failed, reason

MAGIC, MAGIC_AT = b"DUCK", 8
ENDINGS = (".duckdb", ".ddb", ".db")
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "threads": 1,  # rows in one order
    "memory_limit": "1GiB",
    "temp_directory": "",
    "lock_configuration": True,
}
_TABLES = "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal ORDER BY ALL"
_VIEWS = "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL"


class DuckdbTable(Files):
    """One table of a database; its name may have the schema's and a dot before it."""

    wanted = f"file that ends in {', '.join(ENDINGS)}"

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        self.table = (dialect.catalog_format or "").partition(":")[2]

    def holds(self, path: str) -> bool:
        return PurePosixPath(path.lower()).suffix in ENDINGS

    def is_open(self, path: str) -> bool:
        return False

    def column_names(self, path: str) -> list[str]:
        return [*self.column_types(path)]

    def column_types(self, path: str) -> dict[str, pa.DataType]:
        with _opened(path) as database:
            query = f"SELECT * FROM {self._quoted(path, database)} LIMIT 0"
            schema = database.sql(query).to_arrow_table().schema
        return {field.name: field.type for field in schema}

    def parts(self, path: str) -> list[CataloguePart]:
        with _opened(path) as database:
            query = f"SELECT max(rowid) FROM {self._quoted(path, database)}"
            ((last,),) = database.sql(query).fetchall()
        count = 0 if last is None else last // PART_ROWS + 1
        return [CataloguePart(path, (part,), part * PART_ROWS) for part in range(count)]

    def batches(self, part: CataloguePart, columns: Sequence[str] | None = None) -> Iterator[Rows]:
        wanted = "*" if columns is None else ", ".join(quoted(name) for name in columns)
        (number,) = part.row_groups or (0,)
        first, end = number * PART_ROWS, (number + 1) * PART_ROWS
        with _opened(part.path) as database:
            table = self._quoted(part.path, database)
            query = f"SELECT {wanted} FROM {table} WHERE rowid >= {first} AND rowid < {end}"
            for batch in database.sql(query).to_arrow_reader(BATCH_ROWS):
                yield ArrowRows(settled(batch))

    def _quoted(self, path: str, database: duckdb.DuckDBPyConnection) -> str:
        """The table as SQL names it; BadUsage where there is none, or several."""
        tables, views = database.sql(_TABLES).fetchall(), database.sql(_VIEWS).fetchall()
        found = [(schema, name) for schema, name in tables if self._is_meant(schema, name)]
        if len(found) == 1:
            return ".".join(quoted(name) for name in found[0])
        if found:
            several = ", ".join(f"{schema}.{name}" for schema, name in found)
            raise BadUsage(f"{path}: has several tables {self.table}: {several}")
        if any(self._is_meant(schema, name) for schema, name in views):
            raise BadUsage(
                f"{path}: {self.table} is a view, whose query is not run; make a table of it"
            )
        every = ", ".join(name for _, name in tables) or "none"
        raise BadUsage(f"{path}: has no table {self.table}; its tables are {every}")

    def _is_meant(self, schema: str, name: str) -> bool:
        return self.table in (name, f"{schema}.{name}")


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


@contextlib.contextmanager
def _opened(path: str) -> Iterator[duckdb.DuckDBPyConnection]:
    if not files.is_local(path):
        raise BadUsage(f"{path}: DuckDB reads its files on this machine alone; copy it")
    with naming(path), files.open_input(path) as file:
        if file.read(MAGIC_AT + len(MAGIC))[MAGIC_AT:] != MAGIC:
            raise BadUsage(f"{path}: is no database of DuckDB")
    try:
        with duckdb.connect(files.system(path)[1], read_only=True, config=SETTINGS) as database:
            yield database
    except duckdb.Error as error:
        raise Failed(f"{path}: cannot be read: {reason(error)}") from error
