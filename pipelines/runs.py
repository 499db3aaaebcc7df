"""Run folders: what a verb was asked to do, whether it is done, and what came of it.

A run folder holds `_PLAN.json` from the start (verb, options, fingerprints of the inputs),
and at the end `run.json` (counts, seconds, hashes of the outputs) and `_SUCCESS`. A rerun with
the same plan resumes, or does nothing where `_SUCCESS` is there. Free of Beam.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import platform
import time
from typing import Any

from pipelines import files

PLAN, RECORD, SUCCESS = "_PLAN.json", "run.json", "_SUCCESS"
ERROR = "_ERROR.txt"  # the last failure's traceback
LIBRARIES = ("stemlode", "apache-beam", "numpy", "pyarrow", "torch", "librosa", "soxr", "unidecode")


class BadUsage(Exception):
    """The user asked for what cannot be: one line that names the option or file; exit status 2."""


class Failed(Exception):
    """The work could not be done: one line that says what to do; exit status 1."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A verb's run into one output folder. Small and picklable: Beam's last step carries it."""

    verb: str
    output: str
    options: dict[str, Any]
    inputs: dict[str, str]
    started: float

    def path(self, *names: str) -> str:
        """A path below the output folder."""
        return files.join(self.output, *names)

    def finish(self, counts: dict[str, Any], outputs: dict[str, str], **facts: Any) -> None:
        """Clear what killed attempts left, then write `run.json` and, last of all, `_SUCCESS`.

        `counts` are whole numbers or sums by name, `outputs` maps a file's path below the output
        folder to its SHA-256, `facts` are further entries of the record.
        """
        files.remove_temporaries(self.output)
        files.remove(self.path(ERROR))
        record = {
            "verb": self.verb,
            "options": self.options,
            "inputs": self.inputs,
            "versions": versions(),
            "counts": dict(sorted(counts.items())),
            "seconds": round(time.time() - self.started, 3),
            "outputs": dict(sorted(outputs.items())),
            **facts,
        }
        files.write_bytes(self.path(RECORD), to_json(record))
        files.write_bytes(self.path(SUCCESS), b"")


def start(
    verb: str,
    output: str,
    options: dict[str, Any],
    inputs: dict[str, str],
    *,
    overwrite: bool = False,
) -> Run | None:
    """Claim an output folder; None where this very run is already complete there.

    `inputs` maps what is read (option name → path) and is fingerprinted. Raises BadUsage where
    the folder holds something else or a run with another plan, Failed where it cannot be written.
    """
    run = Run(verb, output, options, {k: fingerprint(p) for k, p in inputs.items()}, time.time())
    plan = to_json({"verb": verb, "options": options, "inputs": run.inputs})
    try:
        held = _held_plan(output)
        if overwrite and held is not None:
            files.remove(output)
            held = None
        if held is not None and held != plan:
            raise BadUsage(
                f"--output {output}: {_difference(held, plan)}; "
                "choose another folder, or start over with --overwrite"
            )
        if held is not None and files.exists(run.path(SUCCESS)):
            return None
        if held is None:
            files.write_bytes(run.path(PLAN), plan)
    except OSError as error:
        raise Failed(f"--output {output}: cannot be written: {reason(error)}") from error
    return run


def record(folder: str) -> dict[str, Any]:
    """The `run.json` of a finished run; BadUsage where there is none."""
    if not files.exists(files.join(folder, SUCCESS)):
        what = (
            "is not finished (run it again to resume)"
            if files.exists(files.join(folder, PLAN))
            else "is no run folder"
            if files.exists(folder)
            else "does not exist"
        )
        raise BadUsage(f"{folder} {what}")
    path = files.join(folder, RECORD)
    try:
        return json.loads(files.read_bytes(path))
    except (OSError, ValueError) as error:
        raise Failed(f"{path}: unreadable: {reason(error)}") from error


def fingerprint(path: str) -> str:
    """What tells whether an input has changed: a run's output hashes, else names, sizes, times."""
    if files.exists(files.join(path, SUCCESS)):
        facts: Any = record(path)["outputs"]
    else:
        facts = files.stamps(path)
    return hashlib.sha256(to_json(facts)).hexdigest()


def fingerprintable(path: str) -> bool:
    """Whether there is anything at a path, below it, or matching it as a glob."""
    return bool(files.stamps(path))


def versions() -> dict[str, str]:
    """Of Python and of the libraries that can change a result."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def to_json(value: Any) -> bytes:
    """Readable JSON with sorted keys: the same value gives the same bytes."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace")  # JSON's own escape for a lone surrogate


def reason(error: BaseException) -> str:
    """An exception's first line, or its class where it says nothing."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _held_plan(output: str) -> bytes | None:
    """The plan of the run that a folder holds; None for a new or empty one."""
    plan = files.join(output, PLAN)
    if files.exists(plan):
        return files.read_bytes(plan)
    if any(not path.endswith(files.TEMPORARY) for path in files.list_files(output)):
        raise BadUsage(f"--output {output}: holds something else; choose another folder")
    return None


def _difference(held: bytes, wanted: bytes) -> str:
    """Says in a phrase how two plans differ."""
    try:
        old, new = json.loads(held), json.loads(wanted)
        if old["verb"] != new["verb"]:
            return f"holds a run of {old['verb']}"
        for kind in ("options", "inputs"):
            for key in sorted({*old[kind], *new[kind]}):
                if old[kind].get(key) != new[kind].get(key):
                    name = f"--{key.replace('_', '-')}"
                    if kind == "inputs":
                        return f"holds a run made before {name} changed"
                    return f"holds a run with {name} {old[kind].get(key)}, not {new[kind].get(key)}"
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return f"holds an unreadable {PLAN}"
