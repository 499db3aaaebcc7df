"""What can be said of salience by its table and by reading all of it. Free of Beam."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.verify import index
from stemlode import runs
from stemlode.shards import salience
from stemlode.shards.salience import LEVELS, THRESHOLD, Columns
from stemlode.tables import Row

VERB = "salience"
VOICED_MISS = 1e-6  # of a share that is rounded to six places


def hygiene(rows: pa.Table) -> Iterator[str]:
    """Ids that come twice; more than one teacher or kind of targets."""
    yield from index.twice(rows)
    for name in ("teacher", "teacher_sha256", "targets"):
        found = sorted(rows[name].unique().to_pylist())
        if len(found) > 1:
            yield f"salience: {name} is {found[0]} in some rows and {found[1]} in others"


def counted(rows: pa.Table, shard_count: int, record: dict[str, Any]) -> Iterator[str]:
    """Where the record's counts are not those of the table."""
    found = {"samples": rows.num_rows, "shards": shard_count}
    found["frames"] = pc.sum(rows["frames"]).as_py() or 0
    yield from index.told(found, record)


def judge(row: Row, found: Mapping[str, bytes]) -> Iterator[str]:
    """What is wrong with a sample's salience; see `shards.Judge`."""
    if salience.FILE not in found:
        return  # whoever compares hashes says so
    try:
        values, where = salience.decoded(found[salience.FILE])
    except ValueError as error:
        yield f"{salience.FILE} does not decode: {runs.reason(error)}"
        return
    wanted = Columns(row["first_frame"], row["first_sample"], row["frames"])
    if where != wanted:
        yield f"{salience.FILE} holds {where}, and {wanted} in the table"
        return
    reached = (values.max(0, initial=0) >= round(THRESHOLD * LEVELS)).sum()
    voiced = float(reached / where.frames) if where.frames else 0.0
    if abs(voiced - row["voiced"]) > VOICED_MISS:
        yield f"{voiced:.6f} of its frames are voiced, and {row['voiced']:.6f} in the table"
