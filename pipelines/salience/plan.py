"""What a run of salience is asked for, and how its pieces are named. Free of Beam."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from stemlode.ids import digest
from stemlode.tables import Row
from training.pitch import swift

STAGE = "salience"


@dataclass(frozen=True)
class SaliencePlan:
    """The options, understood, and the teacher's facts."""

    corpus: str
    teacher: str
    weights: str | None  # of Deep Salience, where it is at hand
    targets: str
    teacher_sha256: str
    voices_sha256: str | None  # of who says whether there are several voices; None: nobody
    device: str


def part_name(rows: Sequence[Row], plan: SaliencePlan) -> str:
    """Names all that decides a song's salience: what is held under it is still good.

    `rows` are the song's rows of the index, in order.
    """
    wanted = dataclasses.asdict(plan)
    for name in ("corpus", "weights"):
        wanted.pop(name)
    facts = ("sample_id", "start_s", "duration_s", "scale")
    held = [[*map(row.get, facts), row["sha256"].get("vocals.flac")] for row in rows]
    made_by = [soxr.__version__, np.__version__, swift.PEAK]
    return digest(json.dumps([wanted, held, made_by], sort_keys=True, default=str))
