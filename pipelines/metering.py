"""What a worker counts, wherever it works: for the run's folder, and as metrics of its runner.

A step counts by `stemlode.progress.meters`, whatever thread it is in. What was counted becomes
Beam's own metrics here, under the same names and in the namespace of the verb, once the runner's
thread is back; and rejects are counted as they leave a step.
"""

import functools
from typing import Any

from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from stemlode.progress import logs, meters
from stemlode.runs import Run

_REST: dict[str, float] = {}
REJECTS = "rejects"  # the tag of outputs that are rejects


def join(run: Run, attempt: str, wanted: logs.Wanted) -> None:
    """This process works for the run: from its first step on, it counts."""
    held = meters.current()
    if held is None or held.attempt != attempt:
        if meters.is_over(attempt):  # a thread that outlives its run
            return
        logs.want(wanted)
        held = meters.begin(run, attempt)
    held.forwards = True


def forward(run: Run) -> None:
    """Hand what was counted to the runner whose thread this is."""
    held = meters.current()
    if held is None:
        return
    for kind, name, number in held.take():
        metric = _metric(kind, run.verb, name)
        if kind == "counter":  # of whole numbers: what is left of one goes with the next
            whole = number + _REST.pop(name, 0.0)
            _REST[name] = whole - round(whole)
            metric.inc(round(whole))
        else:
            metric.update(round(number))


def look(output: Any) -> None:
    """Count what leaves a step, if it is a reject."""
    if not isinstance(output, TaggedOutput) or output.tag != REJECTS:
        return
    held, row = meters.current(), output.value
    row = row[1] if isinstance(row, tuple) else row
    if held is not None and isinstance(row, dict) and "error" in row:
        held.reject(row["stage"], row["key"], row["error"], row["message"])


@functools.lru_cache(maxsize=1024)
def _metric(kind: str, verb: str, name: str) -> Any:
    return (Metrics.counter if kind == "counter" else Metrics.distribution)(verb, name)
