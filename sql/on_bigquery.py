"""The rule's SQL where a catalogue lies in BigQuery, by Google's own client."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from matching.rules import Rule
from sql import match, names
from sql.match import BOOLEAN, DATE, FLOAT, INTEGER, TEXT, Found, NotPlain, Source

KINDS = {
    "STRING": TEXT,
    **dict.fromkeys(("INTEGER", "INT64"), INTEGER),
    **dict.fromkeys(("FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"), FLOAT),
    "DATE": DATE,
    **dict.fromkeys(("BOOL", "BOOLEAN"), BOOLEAN),
}
ANSWER_S = 10.0  # how long a server may take to answer the first time, with retries
TYPES = {  # what Arrow's types are loaded as
    pa.string(): "STRING",
    pa.large_string(): "STRING",
    **dict.fromkeys((pa.float32(), pa.float64()), "FLOAT64"),
    **dict.fromkeys((pa.int8(), pa.int16(), pa.int32(), pa.int64()), "INT64"),
    pa.bool_(): "BOOL",
}


def connect(project: str | None = None, endpoint: str | None = None) -> bigquery.Client:
    """A client with the user's own credentials; with none for another server than Google's."""
    if endpoint is None:
        return bigquery.Client(project=project)
    options = {"api_endpoint": endpoint}
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    return bigquery.Client(project=project, credentials=credentials, client_options=options)


def upload(client: bigquery.Client, paths: Sequence[str], table: str) -> None:
    """Load local Parquet files of one schema into a table, which is replaced if it exists.

    Raises NotPlain for columns that are neither text nor numbers, names.Unsafe for a name that is
    no table's, GoogleAPIError where the job fails.
    """
    names.table(table)
    reference = bigquery.TableReference.from_string(table, default_project=client.project)
    schema = [_field(field) for field in pq.read_schema(paths[0])]
    client.create_table(bigquery.Table(reference, schema=schema), exists_ok=True)
    write = bigquery.WriteDisposition
    for number, path in enumerate(paths):
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=schema,
            write_disposition=write.WRITE_APPEND if number else write.WRITE_TRUNCATE,
        )
        with Path(path).open("rb") as file:
            client.load_table_from_file(file, reference, job_config=config).result()


def source(client: bigquery.Client, catalogue: str, columns: Mapping[str, str]) -> Source:
    """A table (`dataset.table`, `project.dataset.table`) or a query (`SELECT …`) as a catalogue.

    `columns` (ours → theirs) says which column is what; ours stand for themselves where it does
    not. Costs nothing. Raises names.Unsafe where it is neither, NotPlain where a column that is
    needed or named is missing, GoogleAPIError where it cannot be read.
    """
    relation = names.relation(catalogue)
    kinds = {field.name: _kind(field) for field in _dry_run(client, f"SELECT * FROM {relation}")}
    wanted = {ours: columns.get(ours, ours) for ours in match.COLUMNS}
    in_seconds = match.SECONDS in columns or match.MILLISECONDS not in columns
    if in_seconds and wanted[match.SECONDS] in kinds:
        del wanted[match.MILLISECONDS]
    elif match.SECONDS not in columns:
        del wanted[match.SECONDS]
    known = {ours: theirs for ours, theirs in wanted.items() if theirs in kinds}
    lost = [theirs for theirs in columns.values() if theirs not in kinds]
    for needed in (["track_id"], ["title"], ["artist", "artist_id"], list(match.DURATIONS)):
        lost += needed[:1] if known.keys().isdisjoint(needed) else []
    if lost:
        raise NotPlain(f"no column {lost[0]}; it has {', '.join(kinds)}")
    return Source(relation, known, kinds)


def estimate(
    client: bigquery.Client, source: Source, rule: Rule, *, most_per_key: int, aliases: str = ""
) -> int:
    """The bytes that BigQuery will bill for `find`, by its own dry run."""
    statement = match.statement(source, rule, aliased=bool(aliases))
    config = job_config(match.parameters(rule, most_per_key, aliases), dry_run=True)
    return client.query(statement, job_config=config).total_bytes_processed


def find(
    client: bigquery.Client,
    source: Source,
    rule: Rule,
    *,
    most_per_key: int,
    aliases: str = "",
    maximum_bytes_billed: int | None = None,
    storage_api: bool = True,
) -> Found:
    """Match the tracks of a catalogue by one query job.

    `most_per_key` and `aliases` are as in `on_duckdb.find`. BigQuery refuses a job that would bill
    more than `maximum_bytes_billed`. `storage_api` fetches the result faster, by an API that other
    servers than Google's lack. Raises GoogleAPIError.
    """
    values = match.parameters(rule, most_per_key, aliases)
    config = job_config(values, maximum_bytes_billed=maximum_bytes_billed)
    statement = match.statement(source, rule, aliased=bool(aliases))
    job = client.query(statement, job_config=config)
    result = job.result().to_arrow(create_bqstorage_client=storage_api)
    facts = {"job_id": job.job_id, "bytes_billed": job.total_bytes_billed}
    return match.found(result, facts)


def job_config(
    values: Mapping[str, str | float | int],
    *,
    maximum_bytes_billed: int | None = None,
    dry_run: bool = False,
) -> bigquery.QueryJobConfig:
    """Every value as a query parameter."""
    kinds = {str: "STRING", float: "FLOAT64", int: "INT64"}
    return bigquery.QueryJobConfig(
        query_parameters=[
            bigquery.ScalarQueryParameter(name, kinds[type(value)], value)
            for name, value in values.items()
        ],
        maximum_bytes_billed=maximum_bytes_billed,
        dry_run=dry_run,
        use_query_cache=not dry_run,
    )


def _dry_run(client: bigquery.Client, statement: str) -> Sequence[bigquery.SchemaField]:
    """The columns that a statement would give."""
    config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
    soon = bigquery.DEFAULT_RETRY.with_timeout(ANSWER_S)  # a wrong address should not take minutes
    return client.query(statement, job_config=config, retry=soon, job_retry=None).schema or []


def _kind(field: bigquery.SchemaField) -> str:
    kind = KINDS.get(field.field_type, field.field_type)
    return f"{kind} list" if field.mode == "REPEATED" else kind


def _field(field: pa.Field) -> bigquery.SchemaField:
    if field.type not in TYPES:
        raise NotPlain(f"column {field.name} is {field.type}")
    return bigquery.SchemaField(field.name, TYPES[field.type])
