"""What salience of a corpus would take, from hearing a stretch of some of its songs. No Beam."""

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa

from pipelines import estimates
from pipelines.estimates import Estimate, Took
from pipelines.salience import vocals
from pipelines.salience.hear import Hear
from pipelines.salience.plan import SaliencePlan
from stemlode import schemas, tables
from stemlode.audio import AudioError
from stemlode.shards import songs
from stemlode.tables import Row

SONGS = 6
HEARD_S = 120.0  # of a song
HEARD_BY_NET_S = 15.0  # where Deep Salience hears it, which takes far longer
_HOUR = 3600.0


@dataclass
class Vocals:
    """What a song holds of them. end_s: where its last chunk ends; bytes: of what is read."""

    samples: int = 0
    seconds: float = 0.0
    end_s: float = 0.0
    bytes: int = 0


def expected(plan: SaliencePlan) -> Estimate:
    """Hear a sample; raises BadUsage and Failed as a run does."""
    every = _every(plan.corpus)
    some = {*estimates.chosen(every, SONGS)}
    rows: dict[str, list[Row]] = {}
    for name, row in songs.rows_of(plan.corpus, songs.COLUMNS) if some else ():
        if name in some:
            rows.setdefault(name, []).append(row)
    reading, hearing = Took(), Took()
    rejects, index, samples_size = Counter[str](), list[Row](), 0
    tried, tried_s = 0, 0.0
    with estimates.passing("salience") as run:
        step = Hear(run, plan)
        step.setup()
        for name in sorted(rows):
            part = _stretch(rows[name], HEARD_BY_NET_S if plan.voices_sha256 else HEARD_S)
            tried += sum(vocals.SOURCE in row["sources"] for row in part)
            tried_s += part[-1]["start_s"] + part[-1]["duration_s"]
            try:
                with estimates.timed(reading):
                    signals = step.read((name, part))
                with estimates.timed(hearing):
                    samples, _ = step.part(part, signals)
            except AudioError as error:
                rejects[error.error] += 1
                continue
            index += [{**sample.row, "offset": 0, "size": sample.size} for sample in samples]
            samples_size += sum(sample.size for sample in samples)
    total = sum(one.samples for one in every.values())
    share = total / tried if tried else 0.0
    heard = sum(one.end_s for one in every.values()) / tried_s if tried_s else 0.0
    table = pa.Table.from_pylist(index, schemas.SALIENCE)
    table_size = tables.size(table) - tables.size(table.slice(0, 0))
    core_s = (reading.cpu_s + hearing.cpu_s) * heard
    by_net = plan.voices_sha256 is not None
    on_gpu = by_net and plan.device != "cpu"
    return Estimate(
        what="songs with vocals",
        sampled=len(rows),
        inputs=len(every),
        rows=len(index) * share,
        rows_are="samples",
        hours=sum(one.seconds for one in every.values()) * len(index) / max(1, tried) / _HOUR,
        read_bytes=float(sum(one.bytes for one in every.values())),
        written_bytes=(samples_size + table_size) * share,
        disk_bytes=(2 * samples_size + table_size) * share,  # the parts stay until the end
        core_hours=core_s / _HOUR,
        gpu_hours=hearing.wall_s * heard / _HOUR if on_gpu else 0.0,
        net_share=hearing.cpu_s * heard / core_s if core_s and by_net and not on_gpu else 0.0,
        rejects=rejects,
        rejected=sum(rejects.values()) * len(every) / max(1, len(rows)),
    )


def _every(corpus: str) -> dict[str, Vocals]:
    """The songs with vocals, by their recordings."""
    found: dict[str, Vocals] = {}
    for name, row in songs.rows_of(corpus, ["sources", "duration_s", "size"]):
        _add(found.setdefault(name, Vocals()), row)
    return {name: one for name, one in found.items() if one.samples}


def _add(found: Vocals, row: Row) -> None:
    found.end_s = max(found.end_s, row["start_s"] + row["duration_s"])
    if vocals.SOURCE in row["sources"]:
        found.samples += 1
        found.seconds += row["duration_s"]
        found.bytes += row["size"]


def _stretch(rows: list[Row], seconds: float) -> list[Row]:
    """Chunks from the middle of a song, of so many seconds and not of fewer than one with vocals,
    as if it began there."""
    rows = sorted(rows, key=lambda row: (row["start_s"], row["sample_id"]))
    middle = (rows[0]["start_s"] + rows[-1]["start_s"]) / 2
    sung = [number for number, row in enumerate(rows) if vocals.SOURCE in row["sources"]]
    first = last = min(sung, key=lambda number: abs(rows[number]["start_s"] - middle))
    while last - first + 1 < len(rows):
        whole = rows[max(0, first - 1)], rows[min(len(rows) - 1, last + 1)]
        if whole[1]["start_s"] + whole[1]["duration_s"] - whole[0]["start_s"] > seconds:
            break
        first, last = max(0, first - 1), min(len(rows) - 1, last + 1)
    begin = rows[first]["start_s"]
    return [row | {"start_s": row["start_s"] - begin} for row in rows[first : last + 1]]
