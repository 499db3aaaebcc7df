"""The rule's SQL on Parquet files, by DuckDB inside this process."""

import contextlib
import glob
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from sqlglot import exp

from matching.rules import Rule
from sql import by_arrow, match
from sql.by_arrow import Made
from sql.match import BOOLEAN, DATE, FLOAT, INTEGER, TEXT, Found, NotPlain, Source

# Relations that are small, or read more than once: as tables of their own, DuckDB knows their sizes
# and reads the catalogue again instead of holding it.
KEPT = {
    "noted",
    "foreign_texts",
    "latin_texts",
    "known_artists",
    "again",
    "repeated",
    "kept_of_repeated",
    "described",
    "sorted_words",
    "other_titles",
    "versions",
    "marked_albums",
    "marked_titles",
    "marked_tracks",
    "marked_artists",
    "instrumentals",
    "linked_instrumentals",
    "keys",
    "others",
    "crowded",
    "large",
    "pairs",
    "wanted",
    "records",
    "totals",
}
BATCH_ROWS = 100_000
PATH = "stemlode_path"  # the column of `records` that says which file a row is from
# What DuckDB would find out by itself, from folders' names and from the files' columns.
READ = """read_parquet(
  $paths,
  filename = {filename},
  hive_partitioning = false,
  union_by_name = false,
  binary_as_string = false
)"""
KINDS = {
    "VARCHAR": TEXT,
    **dict.fromkeys(("FLOAT", "DOUBLE"), FLOAT),
    **dict.fromkeys(
        [f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG")], INTEGER
    ),
    **dict.fromkeys(("INTEGER", "UINTEGER"), INTEGER),
    "DATE": DATE,
    "BOOLEAN": BOOLEAN,
}


def find(
    paths: Sequence[str],
    columns: Mapping[str, str],
    rule: Rule,
    *,
    most_per_key: int,
    aliases: str = "",
    memory: str | None = None,
    threads: int | None = None,
    spill: str | None = None,
    told: Callable[[int, int], None] = lambda done, more: None,
) -> Found:
    """Match the tracks of local Parquet files of one schema.

    Args:
        paths: the files; no globs.
        columns: what they call our columns (ours → theirs).
        rule: what makes two tracks a pair.
        most_per_key: a key that would give more pairs gives none, and is said to be large.
        aliases: names of artists and their ids (see `sql.match.parameters`).
        memory: how much DuckDB may hold before it spills, such as "1GiB"; 80 % of all by default.
        threads: how many; one a core by default.
        spill: a folder for what does not fit.
        told: called with how many steps are done, and how many more are known of, as they are.

    Returns Found, whose records have a further column PATH. Raises NotPlain where DuckDB cannot
    read the files as they stand (schemas that differ, columns of other types, text that is no
    UTF-8), duckdb.Error where memory or disk do not suffice.
    """
    made = by_arrow.relations(rule)
    with connect(memory=memory, threads=threads, spill=spill) as connection:
        try:
            catalogue = source(connection, paths, columns)
            statement = match.statement(catalogue, rule, aliased=bool(aliases))
            values = match.parameters(rule, most_per_key, aliases, latin="")
            with tempfile.TemporaryDirectory(dir=spill) as folder:
                last = relation(connection, statement, values, made, folder, told)
                table = last.to_arrow_table()
            told(1, 0)
            return match.found(table)
        except duckdb.InvalidInputException as error:
            raise NotPlain(str(error).splitlines()[0]) from error
        except OSError as error:  # of files on the way
            raise duckdb.IOException(str(error)) from error


def connect(
    *, memory: str | None = None, threads: int | None = None, spill: str | None = None
) -> duckdb.DuckDBPyConnection:
    """A database in memory that loads no extensions and keeps no order that nobody asked for."""
    wanted = {
        "memory_limit": memory,
        "threads": threads,
        "temp_directory": spill,
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(config={name: v for name, v in wanted.items() if v is not None})
    with contextlib.suppress(duckdb.Error):  # in a notebook that cannot draw one anyway
        connection.execute("SET enable_progress_bar = false")
    return connection


def is_size(memory: str) -> bool:
    """Whether it is an amount of memory as `find` takes it."""
    try:
        connect(memory=memory).close()
    except duckdb.Error:
        return False
    return True


def source(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[str], columns: Mapping[str, str]
) -> Source:
    """Parquet files as the relation `catalogue`; NotPlain where their schemas differ."""
    literal = [glob.escape(path) for path in paths]
    schemas = {tuple(_kinds(_read(connection, [path])).items()) for path in literal}
    if len(schemas) > 1:
        raise NotPlain("the files have different columns")
    if any(name.lower() == PATH for name, _ in next(iter(schemas))):
        raise NotPlain(f"a column has the name {PATH}")
    rows = _read(connection, literal, filename=f"'{PATH}'")
    rows.create_view("catalogue")
    kinds = _kinds(rows)
    lost = [theirs for theirs in columns.values() if theirs not in kinds]
    if lost:  # DuckDB renames columns that differ in case alone
        raise NotPlain(f"no column {lost[0]}")
    return Source("catalogue", columns, kinds)


def _read(
    connection: duckdb.DuckDBPyConnection, paths: list[str], filename: str = "false"
) -> duckdb.DuckDBPyRelation:
    statement = f"SELECT * FROM {READ.format(filename=filename)}"
    return connection.sql(statement, params={"paths": paths})


def run(
    connection: duckdb.DuckDBPyConnection, statement: str, values: Mapping[str, Any]
) -> pa.Table:
    """Run a GoogleSQL statement of ours; values fill those parameters that it has."""
    return relation(connection, statement, values).to_arrow_table()


def relation(
    connection: duckdb.DuckDBPyConnection,
    statement: str,
    values: Mapping[str, Any],
    made: Mapping[str, Made] = MappingProxyType({}),
    folder: str = "",
    told: Callable[[int, int], None] = lambda done, more: None,
) -> duckdb.DuckDBPyRelation:
    """What `run` would give, not run yet, but for the relations on the way that are KEPT.

    Those that are `made` (see `sql.by_arrow`) come by way of files in the folder, as there may be
    more of them than fit into memory.
    """
    passing: dict[str, _Query] = {}

    def read(text: str) -> Iterable[pa.RecordBatch]:
        query = _Query.of(sqlglot.parse_one(text, read="bigquery"))
        text, given = query.with_those_it_reads(passing, values)
        return connection.sql(text, params=given).to_arrow_reader(BATCH_ROWS)

    on_the_way, last = _in_duckdb(statement)
    told(0, 1 + sum(name in KEPT or name in made for name, _ in on_the_way))
    for name, query in on_the_way:
        if name in made:
            path = str(Path(folder, f"{name}.parquet"))
            with pq.ParquetWriter(path, made[name].schema, compression="none") as writer:
                for rows in made[name].rows(read):
                    writer.write_table(rows)
            distinct = f"SELECT DISTINCT * FROM {READ.format(filename='false')}"
            connection.execute(f"CREATE TEMP TABLE {name} AS {distinct}", {"paths": [path]})
            told(1, 0)
        elif name in KEPT:
            text, given = query.with_those_it_reads(passing, values)
            connection.execute(f"CREATE TEMP TABLE {name} AS {text}", given)
            told(1, 0)
        else:
            passing[name] = query
    text, given = last.with_those_it_reads(passing, values)
    return connection.sql(text, params=given)


@dataclass(frozen=True)
class _Query:
    """A query in DuckDB's words, the tables that it reads and the parameters it has."""

    text: str
    tables: frozenset[str]
    parameters: frozenset[str]

    @classmethod
    def of(cls, tree: exp.Expr) -> "_Query":
        nodes = [*tree.find_all(exp.Table, exp.Parameter)]
        tables = frozenset(node.name for node in nodes if isinstance(node, exp.Table))
        parameters = frozenset(node.name for node in nodes if isinstance(node, exp.Parameter))
        return cls(tree.sql("duckdb"), tables, parameters)

    def with_those_it_reads(
        self, passing: Mapping[str, "_Query"], values: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """The text with those of the passing relations that it needs, and the values it needs."""
        reached: dict[str, _Query] = {}
        queries = [self]
        while queries:
            for name in queries.pop().tables & passing.keys() - reached.keys():
                reached[name] = passing[name]
                queries.append(passing[name])
        # Not materialised: it may be the whole catalogue.
        named = [f"{n} AS NOT MATERIALIZED ({passing[n].text})" for n in passing if n in reached]
        names = self.parameters.union(*(query.parameters for query in reached.values()))
        given = {name: value for name, value in values.items() if name in names}
        return f"WITH {', '.join(named)} {self.text}" if named else self.text, given


@lru_cache(maxsize=4)  # a tenth of a second or more each
def _in_duckdb(statement: str) -> tuple[tuple[tuple[str, _Query], ...], _Query]:
    """GoogleSQL in DuckDB's words: the named relations on the way, and the query that reads them.

    What sqlglot would not write right for DuckDB is mended in the tree.
    """
    tree = sqlglot.parse_one(statement, read="bigquery")
    for select in list(tree.find_all(exp.Select)):
        for join in select.args.get("joins") or []:
            if isinstance(join.this, exp.Unnest):
                select.set("joins", [])
                select.set("from_", exp.From(this=_unnested(select.args["from_"].this, join.this)))
    for length in list(tree.find_all(exp.ByteLength)):  # OCTET_LENGTH, which takes no text
        length.replace(exp.func("STRLEN", length.this))
    for hexed in list(tree.find_all(exp.LowerHex)):  # SHA256 writes hex there by itself
        hexed.replace(exp.func("SHA256", hexed.this.this))
    for number in list(tree.find_all(exp.FarmFingerprint)):  # any number that is one text's alone
        number.replace(exp.func("HASH", *number.expressions))
    for found in list(tree.find_all(exp.RegexpExtract)):  # "" for no match
        extract = exp.Anonymous(this="REGEXP_EXTRACT", expressions=[found.this, found.expression])
        found.replace(exp.func("NULLIF", extract, exp.Literal.string("")))
    with_ = tree.args.pop("with_", None)
    named = with_.expressions if with_ is not None else ()
    return tuple((one.alias, _Query.of(one.this)) for one in named), _Query.of(tree)


def _unnested(rows: exp.Expr, unnest: exp.Unnest) -> exp.Expr:
    """`rows, UNNEST(array) AS item WITH OFFSET AS place` as one relation.

    Joined in the FROM clause, DuckDB copies a row for each of its items, a long text for each of
    its letters; and it counts from 1.
    """
    array, item = unnest.expressions[0], unnest.args["alias"].columns[0]
    columns = [exp.Star(), exp.alias_(exp.Anonymous(this="UNNEST", expressions=[array]), item)]
    if unnest.args.get("offset"):
        places = exp.Anonymous(
            this="GENERATE_SUBSCRIPTS", expressions=[array.copy(), exp.Literal.number(1)]
        )
        place = exp.Sub(this=places, expression=exp.Literal.number(1))
        columns.append(exp.alias_(place, unnest.args["offset"]))
    relation = exp.select(*columns).from_(rows.copy())
    return relation.subquery(rows.alias_or_name)


def _kinds(relation: duckdb.DuckDBPyRelation) -> dict[str, str]:
    pairs = zip(relation.columns, map(str, relation.types), strict=True)
    return {name: _kind(kind) for name, kind in pairs}


def _kind(theirs: str) -> str:
    single = theirs.removesuffix("[]")
    return KINDS.get(single, single) + (" list" if single != theirs else "")
