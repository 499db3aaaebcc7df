"""The card and the metadata of a corpus, made from its tables at its end. Free of Beam."""

import hashlib
import re
from collections.abc import Collection, Mapping
from typing import Any

from pipelines.corpus import append
from pipelines.corpus.append import Addition
from stemlode import files, runs
from stemlode.cards import NAMES, croissant, kept_as, readme
from stemlode.cards.facts import Facts

WRITES = tuple(map(re.escape, NAMES))


def write(run: runs.Run, outputs: Mapping[str, str]) -> dict[str, str]:
    """Write both for a corpus that lacks no more than its record; their hashes by name.

    `outputs` are the hashes of the run's files. An addition's take their places once it is in the
    record; what somebody else wrote there is kept beside them.
    """
    record: dict[str, Any] = {"verb": run.verb, "options": run.options, "inputs": run.inputs}
    record |= {"versions": runs.versions(), "decoder": run.decoder}
    before: dict[str, str] = {}
    is_new = True
    if isinstance(run, Addition):
        record = runs.record(run.output)
        before = record["outputs"]
        outputs = run.together(record, outputs)
        done = record.get("additions", [])
        is_new, earlier = len(done) < run.number, done[: run.number - 1]
        record["additions"] = [*earlier, {"versions": runs.versions()}]
    tables = {name: sha256 for name, sha256 in outputs.items() if name not in NAMES}
    facts = Facts.read(run.output, record, tables)
    contents = (f"{readme.text(facts)}\n".encode(), runs.to_json(croissant.document(facts)))
    written = {}
    for name, data in zip(NAMES, contents, strict=True):
        written[name] = hashlib.sha256(data).hexdigest()
        if isinstance(run, Addition):
            if is_new:  # else a step that is tried twice has done that
                _keep(run, name, (before.get(name), written[name]))
            files.write_bytes(run.path(append.CARDS, name), data)
        else:
            files.write_bytes(run.path(name), data)
    return written


def _keep(run: Addition, name: str, ours: Collection[str | None]) -> None:
    """Copy what stands there, unless we wrote it."""
    path = run.path(name)
    if files.exists(path) and files.sha256(path) not in ours:
        files.write_bytes(run.path(kept_as(name, run.number)), files.read_bytes(path))
