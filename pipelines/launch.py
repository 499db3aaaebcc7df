"""Runs a verb: claims the output folder, does the work, says what came of it."""

import contextlib
import dataclasses
import functools
import logging
import os
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipelines import causes, summary, watching
from pipelines.options import SharedOptions, Verb
from pipelines.remote import runners, workers
from pipelines.remote.runners import is_dataflow, is_local
from stemlode import files, runs
from stemlode.addresses.rules import Rules
from stemlode.audio import decoders
from stemlode.progress import bars, logs, meters, otel, state
from stemlode.runs import BadUsage, Failed


def launch(
    verb: Verb,
    given: Sequence[str] | PipelineOptions,
    start: Callable[..., runs.Run | None] = runs.start,
) -> int:
    """Run a verb's pipeline from its command line or options; 0 when done, or done before.

    `start` claims the output folder, as `runs.start` does. Raises BadUsage or Failed, each with
    one line for the user.
    """
    options = given if isinstance(given, PipelineOptions) else verb.parse(given)
    return carry_out(verb, options, verb.given(options), pipeline_of(verb, options), start)


def pipeline_of(verb: Verb, options: PipelineOptions) -> Callable[[runs.Run], None]:
    """The verb's work as one Beam pipeline."""

    def work(run: runs.Run) -> None:
        with as_a_program():
            pipeline = beam.Pipeline(options=options)
            verb.build(pipeline, options, run)
            causes.tell(pipeline, run, _attempt(options, _needs(verb, options, run)))
            begun = functools.partial(causes.has_begun, run)
            watching.watched(
                run,
                lambda: pipeline.run().wait_until_finish(),
                begun,
                limited=not is_dataflow(options),
            )

    return work


@contextlib.contextmanager
def as_a_program() -> Iterator[None]:
    """Beam takes a notebook for a program. Else it puts the number of the cell before the names of
    steps, and loads what shows pipelines there, which fails without pandas or with one of today."""
    noticing = {"alter_label_if_ipython": lambda *_: None, "is_in_ipython": lambda: False}
    before = {name: getattr(beam.pipeline, name) for name in noticing}
    try:
        for name, nothing in noticing.items():
            setattr(beam.pipeline, name, nothing)
        yield
    finally:
        for name, found in before.items():
            setattr(beam.pipeline, name, found)


def carry_out(
    verb: Verb,
    options: PipelineOptions,
    inputs: Mapping[str, str],
    work: Callable[[runs.Run], None],
    start: Callable[..., runs.Run | None] = runs.start,
    **plan: Any,
) -> int:
    """Claim the output folder, do the work, say what came of it; 0 when done, or done before.

    `inputs` are paths by name; `plan` are further options that decide the output. Raises BadUsage
    or Failed, each with one line for the user.
    """
    shared = options.view_as(SharedOptions)
    output = files.absolute(shared.output)
    for name, path in inputs.items():
        if not runs.fingerprintable(path):
            raise BadUsage(f"--{name} {path}: no such file or folder")
    runners.check_service(options)
    roots = runners.shared_roots(options, shared.shared_path or ())
    runners.check_paths(options, _opened(verb, options, inputs, output), roots)
    own = verb.own(options) | plan
    run = start(
        verb.name,
        output,
        own,
        dict(inputs),
        overwrite=shared.overwrite,
        added=verb.added,
        writes=verb.writes,
        decoder=decoders.name() if verb.decodes else None,
        **({"again": True} if start is runs.start and _retries(verb, options) else {}),
    )
    if run is not None:
        run = dataclasses.replace(run, rules=_rules(verb, options, inputs))
    if run is None:
        if not shared.quiet:
            print(f"{verb.name}: already complete in {output}")
            _say(summary.unreached(runs.record(output)))
        return 0
    if getattr(options.view_as(verb.options), "allow_rejects", False) and run.accept():
        if not shared.quiet:
            _say(summary.lines(runs.record(output), output))
        return 0
    if is_local(options) and not os.environ.get("STEMLODE_DEBUG"):
        logging.disable(logging.CRITICAL)  # a failing step logs its traceback; we keep it in a file
    causes.forget(run)
    try:
        with _seen(run, options):
            work(run)
    except Exception as error:
        told = _explained(error, run)
        logs.event("error", "failed", verb.name, message=str(told))
        raise told from error
    if shared.quiet:
        return 0
    if files.exists(run.path(runs.SUCCESS)):
        _say(summary.lines(runs.record(output), output))
    else:
        print(f"{verb.name}: handed over to the runner; {output} will hold _SUCCESS at the end")
    return 0


def _opened(
    verb: Verb, options: PipelineOptions, inputs: Mapping[str, str], output: str
) -> Iterator[runners.Named]:
    """What workers open: each path with what names it."""
    for name, path in inputs.items():
        if name not in verb.inputs_here:
            yield f"--{name}", path
    yield "--output", output
    if verb.opens is not None:
        yield from verb.opens(options)


def _needs(verb: Verb, options: PipelineOptions, run: runs.Run) -> workers.Needs:
    view = options.view_as(verb.options)
    modules = [name for name, of in verb.imports.items() if not of or getattr(view, of)]
    given = verb.given(options).items()
    inputs = {name: path for name, path in given if name not in verb.inputs_here}
    shared = options.view_as(SharedOptions).shared_path or ()
    return workers.needs(run, modules, inputs, runners.shared_roots(options, shared))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _attempt(options: PipelineOptions, needs: workers.Needs) -> causes.Attempt:
    """This launch, as its workers are to know it."""
    held = meters.current()
    wanted = dataclasses.replace(logs.wanted(), remote=not is_local(options))
    return causes.Attempt(held.attempt if held else uuid.uuid4().hex, needs, wanted)


@contextlib.contextmanager
def _seen(run: runs.Run, options: PipelineOptions) -> Iterator[None]:
    """While the work is done, count, and show how far it is."""
    shared = options.view_as(SharedOptions)
    logs.want(logs.Wanted(shared.log == "json", shared.verbose))
    if (before := state.resumed(run.output)) and not shared.quiet:
        if logs.wanted().json:
            logs.event("info", "resuming", run.verb, message=before)
        else:
            logs.tell(f"{run.verb}: resuming at {before}")
    meters.forget(run.output)
    runner = str(options.view_as(StandardOptions).runner)
    attempt = uuid.uuid4().hex
    held = meters.begin(run, attempt, {**meters.host(), "verb": run.verb, "runner": runner})
    logs.event("info", "begun", run.verb, output=run.output)
    over = False
    try:
        with (
            otel.span(run.verb, "", run.output, attempt, root=True),
            bars.shown(run.verb, lambda: meters.of_others(held), quiet=shared.quiet),
        ):
            yield
        over = files.exists(run.path(runs.SUCCESS))
    finally:
        meters.end()
        if over:
            meters.forget(run.output)
        elif not files.exists(run.path(runs.RECORD)):
            held.write()  # how far it came
        otel.flush()
    logs.event("info", "done", run.verb, output=run.output)


def _rules(verb: Verb, options: PipelineOptions, inputs: Mapping[str, str]) -> Rules:
    view = options.view_as(verb.options)
    named = [inputs[name] for name in verb.named if name in inputs]
    allowed = getattr(view, "allow_uri", None) or []
    follow = not getattr(view, "no_follow_links", False)
    return runs.rules([*inputs.values()], named, allowed, follow=follow)


def _retries(verb: Verb, options: PipelineOptions) -> bool:
    return bool(getattr(options.view_as(verb.options), "retry_rejects", False))


def _explained(error: Exception, run: runs.Run) -> BadUsage | Failed:
    """The user's one line for what a run raised; the traceback goes into a file."""
    told = causes.told(run)
    if told is None and isinstance(error, (BadUsage, Failed)):  # before any step
        told = error
    told = told or causes.in_text(error, run)
    with contextlib.suppress(OSError):
        if not _says(run.path(runs.ERROR), str(told)):
            files.write_bytes(run.path(runs.ERROR), traceback.format_exc().encode(errors="replace"))
    if isinstance(told, (BadUsage, Failed)):
        return told
    line = told or causes.line_of(error)
    return Failed(f"{line} (details in {run.path(runs.ERROR)}; run again to resume)")


def _says(path: str, line: str) -> bool:
    """Whether a file holds this line and nothing else: what a run's last step wrote."""
    return files.exists(path) and files.read_bytes(path) == f"{line}\n".encode()
