"""Salience beside a corpus, as the verb would leave it, with values that a test knows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from stemlode import runs, schemas, tables
from stemlode.shards import salience, tar
from stemlode.shards.salience import ROWS, THRESHOLD, Columns

SHARD = "train/train-00000.tar"


def write_salience(
    corpus: Path,
    folder: Path,
    value_at: Callable[[int], dict[int, float]],
    *,
    targets: str = "single",
    without: Callable[[int], bool] = lambda number: False,
) -> Path:
    """A finished run of salience in `folder`. In frame n of a song the rows of `value_at(n)` have
    its values; samples of the corpus whose number is `without` have none."""
    run = runs.start("salience", str(folder), {}, {"corpus": str(corpus)})
    assert run is not None
    part, rows = [], []
    for number, row in enumerate(tables.read(str(corpus), "index").to_pylist()):
        if without(number):
            continue
        where = Columns.of(row["start_s"], row["duration_s"])
        values = np.zeros((ROWS, where.frames))
        for frame in range(where.frames):
            for place, value in value_at(where.first_frame + frame).items():
                values[place, frame] = value
        data = {salience.FILE: salience.encoded(salience.quantised(values), where)}
        voiced = float((values.max(0) >= THRESHOLD).mean())
        facts = {"sample_id": row["sample_id"], "where": vars(where) | {"voiced": voiced}}
        part.append((facts, data))
        rows.append(row)
    samples = tar.write_part(str(folder / "one.part"), part)
    tar.write_shard(str(folder / SHARD), samples)
    found = [
        {
            **dict.fromkeys(schemas.SALIENCE.names),
            **{name: row[name] for name in ("sample_id", "song_id", "split")},
            **sample.row["where"],
            **{"shard": SHARD, "offset": offset, "size": sample.size},
            **{"targets": targets, "teacher": "swift-f0", "teacher_sha256": "0", "sha256": {}},
        }
        for row, sample, offset in zip(rows, samples, tar.offsets(samples), strict=True)
    ]
    table = pa.Table.from_pylist(found, schemas.SALIENCE)
    written = tables.write(run, "salience-00000-of-00001.parquet", table)
    run.finish({}, {written["path"]: written["sha256"]})
    return folder
