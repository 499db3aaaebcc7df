"""A checkpoint's folder for others, with what `evaluate` found on its card.

The weights are those of the checkpoint byte for byte, so that their hash stays the name of them.
The checkpoint itself is not touched: runs that used it know its folder by what it held.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from stemlode import files, runs
from stemlode.runs import BadUsage, Failed
from training import checkpoint
from training.checkpoint import Checkpoint

_SAID = ("split", "score_rate", "clip_seconds", "shifts", "overlap", "hop_seconds")


def write(folder: str, trained: Checkpoint, runs_of_it: Sequence[str]) -> list[str]:
    """Write the folder; its files. BadUsage where a run has no scores of this checkpoint."""
    found = [evaluation(run, trained.sha256) for run in runs_of_it]
    path = checkpoint.find(trained.name)
    _, config = checkpoint.read_tensors(path)
    try:
        files.write_bytes(files.join(folder, checkpoint.MODEL), files.read_bytes(path))
        checkpoint.write_beside(folder, config, found)
    except OSError as error:
        raise Failed(f"--output {folder}: {runs.reason(error)}") from error
    return [files.join(folder, name) for name in checkpoint.FILES]


def evaluation(run: str, sha256: str) -> dict[str, Any]:
    """What a run of `evaluate` found of the checkpoint with this hash, for its card."""
    record = runs.record(files.absolute(run))
    used = {str(one.get("sha256")): one for one in record.get("checkpoints") or []}
    if record["verb"] != "evaluate" or not record.get("statistics"):
        raise BadUsage(f"--scores {run}: is a run of {record['verb']}, or has no scores")
    if "scores" not in record:
        raise BadUsage(f"--scores {run}: scored pitch; a card shows scores of separation")
    if sha256 not in used:
        known = ", ".join(key[:12] for key in used) or "none"
        raise BadUsage(f"--scores {run}: scored other checkpoints ({known}), not {sha256[:12]}")
    told = record.get("config") or {}
    place = str(told.get("stems") or told.get("corpus") or "")
    facts = {name: record["options"].get(name) for name in _SAID}
    return {
        "set": place.rstrip("/").rpartition("/")[2],
        "songs": record["counts"]["songs"],
        "options": {name: value for name, value in facts.items() if value is not None},
        "beside": [one.get("recipe") for key, one in used.items() if key != sha256],
        "version": (record.get("versions") or {}).get("stemlode"),
        "rows": [*_rows(record)],
    }


def _rows(record: dict[str, Any]) -> Iterable[list[str]]:
    """Source, score, and its average as the papers give it; not those of other separators, nor of
    oracles."""
    for source, columns in sorted(record["statistics"].items()):
        for name in sorted(columns):
            value = record["scores"].get(f"{source}_{name}")
            if value is not None and " by " not in source and not name.endswith("_oracle"):
                yield [source, name, f"{value:.2f} dB"]
