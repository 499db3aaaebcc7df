"""Run folders: what a verb was asked to do, whether it is done, and what came of it.

A run folder holds `_PLAN.json` from the start (verb, options, fingerprints of the inputs),
and at the end `run.json` (counts, seconds, hashes of the outputs) and `_SUCCESS`. A rerun with
the same plan resumes, or does nothing where `_SUCCESS` is there. Free of Beam.

Older runs go on: `plans` says how an option that came later is declared, `schemas` how a
column is. `run.json` states the versions of what was written (`schemas`, by table), and `record`,
through which every reader of a run goes, refuses a version that it does not know.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import platform
import re
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stemlode import files, locks, plans
from stemlode.addresses import pinned
from stemlode.addresses.rules import NOT_OPENED, Rules, scheme
from stemlode.plans import PLAN

RECORD, SUCCESS = "run.json", "_SUCCESS"
# The last failure's traceback, or the line of a run that was held back; and why a step failed.
ERROR, CAUSE = "_ERROR.txt", "_CAUSE.json"
BEGUN = "_BEGUN"  # while a run works: a worker that is another process has begun
PENDING = "_APPEND.json"  # what is being added to a run that is done
PARTS = "_parts"  # what an attempt has finished of a run, for the next one to find
PROGRESS = "_progress"  # what the processes of a run have counted so far (`progress.meters`)
FREED = ".freed"  # beside a part file of which something was given back (see `shards.space`)
OWN = (PLAN, RECORD, SUCCESS, ERROR, CAUSE, BEGUN, locks.NAME)  # files of every run folder
# What any verb may leave below its folder, finished or killed; see `start` for what else.
_OURS = (
    "|".join(map(re.escape, OWN)),
    rf"{PARTS}/.*",
    rf"{PROGRESS}/.*",
    r"[a-z]+(-append\d+)?-\d{5}-of-\d{5}\.parquet",
)
LIBRARIES = (
    "stemlode", "apache-beam", "numpy", "pyarrow", "torch", "librosa", "soxr", "unidecode",
    "soundfile", "av", "mutagen",
)  # fmt: skip


class BadUsage(Exception):
    """What was asked for is not possible: one line that names the option or file; exit status 2."""


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
    decoder: str | None = None  # what reads its audio, where it reads any
    rules: Rules = dataclasses.field(default_factory=Rules)  # for what its catalogue names
    # What the verb was told, as a configuration says it.
    config: dict[str, Any] = dataclasses.field(default_factory=plans.asked)

    def path(self, *names: str) -> str:
        """A path below the output folder."""
        return files.join(self.output, *names)

    def forget_failures(self) -> None:
        """Clear what killed and failed attempts left beside the output."""
        files.remove_temporaries(self.output)
        for name in (ERROR, CAUSE, BEGUN, PROGRESS):
            files.remove(self.path(name))

    def finish(
        self,
        counts: dict[str, Any],
        outputs: dict[str, str],
        *,
        held_back: str | None = None,
        acceptable: bool = True,
        **facts: Any,
    ) -> None:
        """Clear what killed attempts left, then write `run.json` and, last of all, `_SUCCESS`.

        `counts` are whole numbers or sums by name, `outputs` maps a file's path below the output
        folder to its SHA-256, `facts` are further entries of the record. `held_back` says in one
        line why what was written should not count as done: it goes into `_ERROR.txt` in place of
        `_SUCCESS`, and Failed is raised with it. `accept` makes such a run a finished one, if it
        is `acceptable`.
        """
        from stemlode import schemas  # noqa: PLC0415 - the decoding process does without Arrow

        self.forget_failures()
        record = {
            "verb": self.verb,
            "options": self.options,
            "inputs": self.inputs,
            "versions": versions(),
            "counts": dict(sorted(counts.items())),
            "seconds": round(time.time() - self.started, 3),
            "outputs": dict(sorted(outputs.items())),
            "schemas": schemas.versions_of(outputs),
            **({"config": self.config} if self.config else {}),
            **({"decoder": self.decoder} if self.decoder else {}),
            **({} if self.rules.roots is None else {"roots": [*self.rules.roots]}),
            **({"allow_uri": [*self.rules.allowed]} if self.rules.allowed else {}),
            **({} if acceptable else {"acceptable": False}),
            **facts,
        }
        files.write_bytes(self.path(RECORD), to_json(record))
        if held_back is not None:
            files.write_bytes(self.path(ERROR), f"{on_one_line(held_back)}\n".encode())
            raise Failed(on_one_line(held_back))
        self._succeed()

    def accept(self) -> bool:
        """Finish a run that was held back, without its work; False where there is none."""
        if not (files.exists(self.path(ERROR)) and files.exists(self.path(RECORD))):
            return False
        try:
            held = json.loads(files.read_bytes(self.path(RECORD)))
            same = (held["options"], held["inputs"]) == (self.options, self.inputs)
            same = same and held.get("acceptable", True)
            whole = same and all(
                files.exists(self.path(name)) and files.sha256(self.path(name)) == sha256
                for name, sha256 in held["outputs"].items()
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False
        if whole:
            self.forget_failures()
            self._succeed()
        return whole

    def _succeed(self) -> None:
        files.write_bytes(self.path(SUCCESS), b"")
        locks.release(self.output)
        files.remove(self.path(locks.NAME))  # where a worker process finishes its launcher's run


def start(
    verb: str,
    output: str,
    options: dict[str, Any],
    inputs: dict[str, str],
    *,
    overwrite: bool = False,
    added: Mapping[str, Any] | None = None,
    writes: Sequence[str] = (),
    raisable: Collection[str] = (),
    decoder: str | None = None,
    again: bool = False,
) -> Run | None:
    """Claim an output folder; None where the same run is already complete there.

    A run that goes on keeps the options of its plan. `added` are options that came later to the
    verb, each with what a plan without it means (see `plans`). Where an option of `raisable` is
    higher than in the plan, the plan takes its value, and a complete run goes on.

    `inputs` maps what is read (option name → path) and is fingerprinted. Raises BadUsage where
    the folder holds something else or a run with another plan, or where it and an input lie in
    each other, Failed where it cannot be written or another process works there. `overwrite`
    removes what a run of this verb wrote, and is refused where there is anything else: `writes`
    are regular expressions of the names of all files, below the folder, that the verb writes or
    ever wrote beside its tables. `decoder` names what reads the run's audio: another one may give
    other samples, so that a half-finished run of another is refused; a finished one is finished.
    `again` opens a finished run again that did not open some of its files.
    """
    check_apart(output, inputs)
    stamps = {name: fingerprint(path) for name, path in inputs.items()}
    run = Run(verb, output, options, stamps, time.time(), decoder)
    named = {"decoder": decoder} if decoder else {}
    plan = to_json({"verb": verb, "options": options, "inputs": run.inputs, **named})
    try:
        held = _held_plan(output)
        again = again and _lacks_files(output)
        if not overwrite and _is_complete(run, added or {}, raisable, again=again):
            locks.sweep(output)
            return None
        claim(output)
        if not overwrite and held is not None and _lacks_files(output):
            _reopen(run, writes)
        if overwrite and held is not None:
            _clear(verb, output, held, writes)
        if _is_complete(run, added or {}, raisable):  # by another process, in between
            locks.release(output)
            return None
        begun = _held_plan(output)
        if begun is None:
            files.write_bytes(run.path(PLAN), plan)
        elif before := plans.read(begun):
            higher = plans.raised(before["options"], options, raisable)
            before["options"] |= {name: options[name] for name in higher}
            run = dataclasses.replace(run, options=before["options"])
            if higher:
                files.remove(run.path(SUCCESS))
                files.write_bytes(run.path(PLAN), to_json(before))
    except OSError as error:
        locks.release(output)
        raise Failed(f"--output {output}: cannot be written: {reason(error)}") from error
    except (BadUsage, Failed):
        locks.release(output)
        raise
    return run


def claim(output: str) -> None:
    """Failed where another process works in this folder; it is this process' until it ends."""
    if holder := locks.claim(output):
        raise Failed(f"--output {output}: {holder} works there; wait until it ends, or end it")


def give_up(why: str) -> None:
    """Leave word in every folder that this process works in; what cannot be written is let be."""
    for folder in locks.held():
        with contextlib.suppress(Exception):
            done = files.exists(files.join(folder, SUCCESS))
            begun = PENDING if done else PLAN
            if files.exists(files.join(folder, begun)):
                files.write_bytes(files.join(folder, ERROR), why.encode(errors="replace"))


def _lacks_files(folder: str) -> bool:
    """Whether a run came to its end, and did not open some of its files."""
    path = files.join(folder, RECORD)
    try:
        found = json.loads(files.read_bytes(path)) if files.exists(path) else {}
        return any(found["counts"].get(name) for name in NOT_OPENED)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _reopen(run: Run, writes: Sequence[str]) -> None:
    """Remove what such a run wrote at its end, which is made again from its parts.

    The mark of success goes first and the record last: killed half-way, it can be done again.
    """
    outputs = json.loads(files.read_bytes(run.path(RECORD))).get("outputs", {})
    ours = [name for name in outputs if ".." not in name.split("/") and _is_ours(name, writes)]
    files.remove(run.path(SUCCESS))
    for path in files.list_files(run.path(PARTS)):
        if path.endswith(FREED):  # given back, for a shard held it that goes now
            files.remove(f"{path.removesuffix(FREED)}.json")
            files.remove(path)
    for name in (*ours, RECORD):
        files.remove(run.path(name))


def _is_complete(
    run: Run, added: Mapping[str, Any], raisable: Collection[str], *, again: bool = False
) -> bool:
    """Whether the same run is done; BadUsage where its folder holds something else."""
    held = _held_plan(run.output)
    if held is not None and (
        found := plans.difference(held, run.verb, run.options, run.inputs, added, raisable)
    ):
        raise BadUsage(
            f"--output {run.output}: {found}; choose another folder"
            + (", or start over with --overwrite" if _verb_of(held) == run.verb else "")
        )
    if held is None:
        return False
    before = plans.read(held)
    raised = before is not None and plans.raised(before["options"], run.options, raisable)
    if files.exists(run.path(SUCCESS)) and not raised and not again:
        return True
    if run.decoder and (begun := plans.decoder(held)) != run.decoder:
        raise BadUsage(
            f"--output {run.output}: holds a half-finished run that read its audio with "
            f"{begun or 'the decoders of an earlier version'}, not {run.decoder}; start over with "
            "--overwrite"
        )
    return False


def record(folder: str) -> dict[str, Any]:
    """The `run.json` of a finished run; BadUsage where there is none.

    Raises Failed where it is damaged, or states a version of a table that is not known here.
    """
    if not files.exists(files.join(folder, SUCCESS)):
        what = (
            "is not finished (run it again to resume)"
            if files.exists(files.join(folder, PLAN))
            else "is not a run folder"
            if files.exists(folder)
            else "does not exist"
        )
        raise BadUsage(f"{folder} {what}")
    from stemlode import schemas  # noqa: PLC0415 - as above

    path = files.join(folder, RECORD)
    try:
        found = json.loads(files.read_bytes(path))
    except (OSError, ValueError, RecursionError) as error:
        why = f"{path}: unreadable: {reason(error)}"
        raise Failed(f"{why}; copy it again, or repeat its verb with --overwrite") from error
    if not isinstance(found, dict) or not isinstance(found.get("verb"), str):
        raise Failed(f"{path}: not a run record: it names no verb")
    if not isinstance(found.get("outputs"), dict):
        raise Failed(f"{path}: not a run record: outputs is not an object")
    if outside := [name for name in found["outputs"] if not files.is_below(name)]:
        raise Failed(f"{path}: names {outside[0]!r}, which is no file of its folder")
    if unknown := schemas.unknown_version(found.get("schemas")):
        raise Failed(f"{path}: {unknown}")
    return found


def rules(
    inputs: Sequence[str], named: Sequence[str], allowed: Sequence[str] = (), *, follow: bool = True
) -> Rules:
    """What may be opened of what the inputs name: these may be finished runs, and hand on what
    they recorded.

    Args:
        inputs: all that is read.
        named: those of them in whose own folder a catalogue's files may lie.
        allowed: what the user allows beside that.
        follow: whether links may lead out of the roots.
    """
    roots = dict.fromkeys(_folder(path) for path in named)
    opened = dict.fromkeys(path if scheme(path) else files.absolute(path) for path in allowed)
    records = [record(path) for path in inputs if files.exists(files.join(path, SUCCESS))]
    for found in records:
        roots |= dict.fromkeys(map(str, found.get("roots") or ()))
        opened |= dict.fromkeys(map(str, found.get("allow_uri") or ()))
    known = bool(named or records) and all("roots" in found for found in records)
    return Rules(tuple(roots) if known else None, tuple(opened), follow)


def _folder(path: str) -> str:
    """The folder that an input is, or lies in; of a glob, what stands before its first sign."""
    if files.is_file(path) or not files.exists(path):
        path = re.split(r"[*?\[]", path, maxsplit=1)[0].rpartition("/")[0]
    return path.rstrip("/") or "/"


def fingerprint(path: str) -> str:
    """What tells whether an input has changed: what an address says of its content, a run's output
    hashes, else names, sizes, times."""
    if found := pinned.content(path):
        return hashlib.sha256(found.encode()).hexdigest()
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


def on_one_line(text: str) -> str:
    """Text for a terminal: what would break its line, move or hide its neighbours is escaped."""
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)


def _held_plan(output: str) -> bytes | None:
    """The plan of the run that a folder holds; None for a new or empty one."""
    plan = files.join(output, PLAN)
    if files.exists(plan):
        return files.read_bytes(plan)
    if any(not _may_lie_around(path) for path in files.list_files(output)):
        raise BadUsage(f"--output {output}: holds something else; choose another folder")
    return None


def _may_lie_around(path: str) -> bool:
    """Whether a run that was killed before it wrote its plan may have left this file."""
    return files.is_temporary(path) or path.rsplit("/", 1)[-1] == locks.NAME


def check_apart(output: str, inputs: dict[str, str]) -> None:
    """BadUsage where the output would become part of an input, or hold one.

    A finished run as input knows its own files, so another run may lie below it.
    """
    out = files.join(output, "")
    for name, path in inputs.items():
        at = files.join(path, "")
        if at.startswith(out):
            what = f"--{name} {path} is {'that folder too' if at == out else 'inside it'}"
            raise BadUsage(f"--output {output}: {what}; choose another folder")
        if out.startswith(at) and not files.exists(files.join(path, SUCCESS)):
            raise BadUsage(f"--output {output}: is inside --{name} {path}; choose one outside it")


def _clear(verb: str, output: str, held: bytes, writes: Sequence[str]) -> None:
    """Remove what a run of this verb wrote; BadUsage where a file is none of ours.

    The mark of success goes first and the plan last: killed half-way, it can be done again.
    """
    if _verb_of(held) != verb:
        what = f"a run of {_verb_of(held)}" if _verb_of(held) else f"an unreadable {PLAN}"
        raise BadUsage(f"--output {output}: holds {what}, not of {verb}; choose another folder")
    lock = files.join(output, locks.NAME)
    found = [path for path in files.list_files(output) if path != lock]
    root = files.join(output, "")
    foreign = [path for path in found if not _is_ours(path.removeprefix(root), writes)]
    if foreign:
        raise BadUsage(
            f"--output {output}: --overwrite would remove {foreign[0]}, which no run wrote; "
            "move it away, or choose another folder"
        )
    order = {files.join(output, SUCCESS): 0, files.join(output, PLAN): 2}
    for path in sorted(found, key=lambda path: order.get(path, 1)):
        files.remove(path)
    files.remove_empty_folders(output)


def _is_ours(name: str, writes: Sequence[str]) -> bool:
    ours = any(re.fullmatch(pattern, name) for pattern in (*_OURS, *writes))
    return ours or files.is_temporary(name)


def _verb_of(plan: bytes) -> str:
    """The verb that a plan is of; empty where it is no plan of ours."""
    held = plans.read(plan)
    return held["verb"] if held else ""
