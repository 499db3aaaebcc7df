"""The rule's statement run where the catalogue lies, in BigQuery."""

import datetime
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from pipelines.catalogue import reading
from pipelines.catalogue.formats.rows import ArrowRows
from pipelines.catalogue.mapping import COLUMNS, DURATION
from pipelines.catalogue.reading import RowBatch, Table
from pipelines.match.output import Matched, sorted_out
from pipelines.match.record import Task
from sql import on_bigquery
from sql.match import NotPlain
from sql.names import Unsafe, is_query
from stemlode import runs


@contextmanager
def bigquery_table(
    given: str, columns: str | None, project: str | None, endpoint: str | None
) -> Iterator["InBigQuery"]:
    """A table (`project.dataset.table`) or a query (`SELECT …`) in BigQuery, to be matched there.

    `columns` maps columns as for a Catalogue; `endpoint` is a server other than Google's. Raises
    BadUsage where that is no catalogue, Failed where BigQuery refuses.
    """
    mapped = reading.mapping(columns)
    with _one_line(given), closing(on_bigquery.connect(project, endpoint)) as client:
        source = on_bigquery.source(client, given, mapped)
        yield InBigQuery(client, given, source, storage_api=endpoint is None)


@dataclass(frozen=True)
class InBigQuery:
    """A catalogue in BigQuery. `storage_api`: a faster way to fetch, which only Google has."""

    client: bigquery.Client
    given: str
    source: on_bigquery.Source
    storage_api: bool = True

    def modified(self) -> str:
        """When the tables that it reads were last changed: what tells whether it has changed."""
        read = [self.given]
        if is_query(self.given):
            config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
            job = self.client.query(f"SELECT * FROM {self.source.relation}", job_config=config)
            read = job.referenced_tables or []
        times = [self.client.get_table(table).modified for table in read]
        known = [time for time in times if isinstance(time, datetime.datetime)]
        return max(known).isoformat() if known else ""

    def bytes_billed(self, task: Task) -> int:
        """What `match` would be billed for, by BigQuery's own dry run."""
        return on_bigquery.estimate(
            self.client,
            self.source,
            task.rule,
            most_per_key=task.most_per_key,
            aliases=task.aliases_parameter,
        )

    def match(self, task: Task, maximum_bytes_billed: int | None = None) -> Matched:
        """Match it by one query job, which BigQuery refuses if it would bill more than that."""
        found = on_bigquery.find(
            self.client,
            self.source,
            task.rule,
            most_per_key=task.most_per_key,
            aliases=task.aliases_parameter,
            maximum_bytes_billed=maximum_bytes_billed,
            storage_api=self.storage_api,
        )
        names = {ours: self.source.columns.get(ours, ours) for ours in COLUMNS}
        names = {ours: theirs for ours, theirs in names.items() if theirs in self.source.kinds}
        if DURATION not in self.source.columns:
            names.pop(DURATION, None)
        table = Table(names)
        batches = (RowBatch(self.given, ArrowRows(b), table) for b in found.records.to_batches())
        named, rejects = sorted_out(batches, task)
        return Matched(found, named, rejects, found.counts["tracks_read"])


@contextmanager
def _one_line(given: str) -> Iterator[None]:
    """What BigQuery and its client raise as the user's one line."""
    try:
        yield
    except (Unsafe, NotPlain) as error:
        raise runs.BadUsage(f"--catalog {given}: {error}") from error
    except (GoogleAPIError, GoogleAuthError) as error:
        raise runs.Failed(f"--catalog {given}: BigQuery: {runs.reason(error)}") from error
