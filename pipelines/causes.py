"""Why a step failed, as a value: a runner hands on nothing of a worker's exception but its text.

Every step of a pipeline is wrapped; one that fails leaves its cause in the run folder, as a small
file of JSON, which the launcher reads whatever process, machine or runner the step ran on.
"""

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.internal import pickler
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.runners.common import DoFnSignature
from apache_beam.transforms.core import get_function_arguments

from pipelines import metering
from pipelines.remote import workers
from pipelines.remote.workers import Needs
from stemlode import files, runs
from stemlode.progress import logs
from stemlode.runs import BEGUN, CAUSE, BadUsage, Failed, Run

OURS = {kind.__name__: kind for kind in (BadUsage, Failed)}
_WORKER = re.compile(r"\bFailed: (worker \S.*?)(?: \[while running '.*)?$", re.MULTILINE)
_MISSING = re.compile(r"\bModuleNotFoundError: No module named '([\w.]+)'")
_HERE: dict[str, dict[str, str]] = {}  # by output folder: for a disk that is full
_LAUNCHED: set[str] = set()  # what this process has launched
_BEGUN: set[str] = set()  # output folders of which this process has done a step


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One launch of a run, as every worker knows it: its id, what each worker needs, and what its
    user wants to see."""

    launcher: str = ""
    needs: Needs | None = None
    wanted: logs.Wanted = dataclasses.field(default_factory=logs.Wanted)


def tell(pipeline: beam.Pipeline, run: Run, attempt: Attempt) -> None:
    """Let every step of a pipeline leave its cause where it fails, the first one a sign that it has
    begun, and all count; each looks first at what its worker needs. Before the pipeline runs."""
    _LAUNCHED.add(attempt.launcher)
    pipeline.visit(_Wrapping(run, attempt))


def forget(run: Run) -> None:
    """Remove what an earlier attempt left."""
    _HERE.pop(run.output, None)
    _BEGUN.discard(run.output)
    for name in (CAUSE, BEGUN):
        with contextlib.suppress(OSError):
            files.remove(run.path(name))


def has_begun(run: Run) -> bool:
    """Whether any step has, in this process or another."""
    if run.output in _BEGUN:
        return True
    with contextlib.suppress(OSError):
        return files.exists(run.path(BEGUN))
    return False


def _begin(run: Run, attempt: Attempt) -> None:
    """Leave the sign, once a process; the launcher itself needs none on disk. And count."""
    metering.join(run, attempt.launcher, attempt.wanted)
    if run.output not in _BEGUN:
        _BEGUN.add(run.output)
        if attempt.launcher not in _LAUNCHED:
            with contextlib.suppress(OSError):
                if not files.exists(run.path(BEGUN)):
                    files.write_bytes(run.path(BEGUN), b"")


def told(run: Run) -> BadUsage | Failed | str | None:
    """The cause that a step left: our own exception, or a line of any other; None without one."""
    found = _read(run) or _HERE.get(run.output)
    if found is None:
        return None
    kind = OURS.get(found["error"])
    return kind(found["message"]) if kind else found["message"]


def note(run: Run, error: Exception) -> None:
    """Leave a cause. The first one stays, but ours takes the place of another kind."""
    message = str(error) if isinstance(error, tuple(OURS.values())) else line_of(error)
    cause = {"error": type(error).__name__, "message": message}
    held = _read(run) or _HERE.get(run.output)
    if held is not None and (held["error"] in OURS or cause["error"] not in OURS):
        return
    _HERE[run.output] = cause
    with contextlib.suppress(OSError):  # a full disk: then only this process knows
        files.write_bytes(run.path(CAUSE), runs.to_json(cause))


def in_text(error: BaseException, run: Run) -> Failed | None:
    """The cause by what a runner tells of a worker, which could not write it down: it has not what
    it takes to find the run folder, or to make anything of our steps."""
    text = str(error)
    if (found := _WORKER.search(text)) is not None:
        return Failed(found[1])
    if (found := _MISSING.search(text)) is not None:
        return Failed(workers.without(run.verb, found[1], "a worker"))
    return None


def line_of(error: BaseException) -> str:
    """Any exception in a line: its file and reason, or its kind where it says nothing."""
    where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    return f"{where}{runs.reason(error)}"


def _read(run: Run) -> dict[str, str] | None:
    try:
        found = json.loads(files.read_bytes(run.path(CAUSE)))
        return {"error": str(found["error"]), "message": str(found["message"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


class _Wrapping(PipelineVisitor):
    """Wraps all steps but those that keep state or can be split, which are none of ours."""

    def __init__(self, run: Run, attempt: Attempt) -> None:
        self.run, self.attempt = run, attempt

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        transform = transform_node.transform
        if not isinstance(transform, beam.ParDo) or isinstance(transform.fn, Telling):
            return
        signature = DoFnSignature(transform.fn)
        if not signature.is_stateful_dofn() and not signature.is_splittable_dofn():
            transform.fn = Telling(transform.fn, self.run, self.attempt)


class Telling(beam.DoFn):
    """A step that leaves its cause where it fails, and else is the step itself.

    On a worker that lacks anything it is a step that fails in its `setup`, before its code, which
    may not even be importable there, is looked at.
    """

    def __init__(self, fn: beam.DoFn, run: Run, attempt: Attempt = Attempt()) -> None:
        self.fn, self.run, self.attempt = fn, run, attempt
        for name in ("process", "setup", "start_bundle", "finish_bundle"):
            setattr(self, name, _telling(getattr(fn, name), run, attempt))

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (pickler.dumps(self.fn), self.run, self.attempt)

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__") or name in self.__dict__ or name in Telling.__dict__:
            return object.__getattribute__(self, name)
        return getattr(self.fn, name)

    def _inspect_process(self) -> tuple[list[str], list[Any]]:
        """The arguments that Beam is to pass."""
        return get_function_arguments(self.fn, "process")


class _Lacks(beam.DoFn):
    """In place of a step, where a worker lacks what that needs."""

    def __init__(self, why: str) -> None:
        self.why = why

    def setup(self) -> None:
        raise Failed(self.why)

    def process(self, element: Any, *args: Any, **kwargs: Any) -> None:
        """Never reached."""


def _arrived(pickled: bytes, run: Run, attempt: Attempt) -> Telling:
    """A step on the worker that is to do it."""
    far = attempt.launcher not in _LAUNCHED and attempt.needs is not None
    why = workers.lacking(attempt.needs) if far and attempt.needs is not None else None
    if why is not None:
        return Telling(_Lacks(why), run, attempt)
    return Telling(pickler.loads(pickled), run, attempt)


def _telling(call: Callable[..., Any], run: Run, attempt: Attempt) -> Callable[..., Any]:
    """A method of a step; what it gives one by one may fail later."""

    def outputs(found: Iterable[Any]) -> Iterator[Any]:
        try:
            for output in found:
                metering.look(output)
                metering.forward(run)
                yield output
            metering.forward(run)
        except Exception as error:
            note(run, error)
            raise

    def told(*args: Any, **kwargs: Any) -> Any:
        _begin(run, attempt)
        try:
            found = call(*args, **kwargs)
        except Exception as error:
            note(run, error)
            raise
        if found is None or isinstance(found, list | tuple):
            for output in found or ():
                metering.look(output)
            metering.forward(run)
            return found
        return outputs(found)

    return told
