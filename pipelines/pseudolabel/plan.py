"""What a run of pseudolabel is asked for, and how its pieces are named. Free of Beam."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr

from pipelines.pseudolabel.segments import Cut
from stemlode import files
from stemlode.addresses.rules import Address, Rules
from stemlode.audio import activity, decoders
from stemlode.ids import digest

STAGE = "pseudolabel"


@dataclass(frozen=True)
class LabelPlan:
    """The options, understood, and the teacher's facts."""

    cut: Cut
    teacher: str  # its name, of what may change (a branch) as it was when the command began
    teacher_sha256: str
    target: str
    rest: str  # the mixture without it
    min_confidence: float
    flac_bits: int
    shard_bytes: int
    format: str
    device: str
    decoders: int  # tracks that are decoded ahead
    encoders: int  # threads


def track_name(track: dict[str, Any], plan: LabelPlan, rules: Rules | None = None) -> str:
    """Names all that decides a track's samples: what is held under it is still good.

    Raises OSError where a remote file cannot be looked at.
    """
    wanted = dataclasses.asdict(plan)
    for name in ("teacher", "shard_bytes", "format", "decoders", "encoders"):
        wanted.pop(name)
    cut = wanted["cut"]  # as it was written before it held these, where they are as they were then
    if plan.cut.activity_threshold == activity.GAMMA:
        cut.pop("activity_threshold")
    if plan.cut.offset_seed is None:
        cut.pop("offset_seed")
    uri = track["audio_uri"]
    facts = {
        "track": track,
        "plan": wanted,
        "file": files.stamps(Address(uri, rules or Rules())) if uri else [],
        "libraries": [decoders.name(), soxr.__version__, np.__version__],
    }
    return digest(json.dumps(facts, sort_keys=True, default=str))


def part_name(track_name: str, number: int) -> str:
    """Of a track's stretch."""
    return f"{track_name}-{number:05d}"


def song_id(track: dict[str, Any]) -> str:
    """Of an unlabelled track: it is a song by itself."""
    return digest("unlabelled", track["track_id"])
