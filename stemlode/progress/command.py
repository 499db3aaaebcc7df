"""`stemlode status RUN`: how far a run is, what it could not use, and why it ended."""

import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from stemlode import files
from stemlode.arguments import Parser, above_zero
from stemlode.progress import bars, state
from stemlode.progress.meters import Facts, to_json
from stemlode.progress.state import DONE, FAILED, RUNNING, State
from stemlode.runs import on_one_line

LISTED = 8  # causes of rejects
SHOWN = 60  # characters of a reject's key


def main(argv: Sequence[str]) -> int:
    """Run `stemlode status`: 0 for a run that is done or runs, 1 for one that ended otherwise."""
    options = parser().parse(argv)
    output = files.absolute(options.run)
    while True:
        found = state.of(output, count=not options.watch)
        if options.json:
            print(json.dumps(as_json(found), sort_keys=True), flush=True)
        else:
            _show(found, clear=options.watch and sys.stdout.isatty())
        if not options.watch or found.state != RUNNING:
            return 0 if found.state in (DONE, RUNNING) else 1
        time.sleep(options.every)


def parser(argv: Sequence[str] = ()) -> Parser:
    """The options of `stemlode status`."""
    found = Parser(
        prog="stemlode status",
        description="How far a run is, by its folder alone: while it runs, after a crash, and when "
        "it is done.",
    )
    found.add_argument("run", metavar="RUN", help="a run folder, local, gs:// or s3://")
    found.add_argument("--watch", action="store_true", help="look again until it ends")
    found.add_argument("--json", action="store_true", help="a JSON object (with --watch: a line)")
    found.add_argument(
        "--every", type=above_zero, default=2.0, metavar="SECONDS", help="of --watch (default 2)"
    )
    return found


def _show(found: State, *, clear: bool) -> None:
    if clear:
        print("\033[H\033[J", end="")
    for line in lines(found):
        print(on_one_line(line))
    sys.stdout.flush()


def lines(found: State) -> Iterator[str]:
    """A state as text for people."""
    where = f", {found.where}" if found.where and found.state == RUNNING else ""
    yield f"{found.verb}: {_word(found)}{where}: {found.output}"
    now = time.time()
    if found.error:
        yield f"  why             {found.error}"
    if found.counted is not None:
        yield from _phases(found, now)
    if found.state == DONE:
        yield from _counts(found)
    if found.training:
        yield f"  training        {_numbers(found.training)}"
    if found.parts:
        yield f"  kept            {found.parts:,} finished parts, {_size(found.parts_bytes)}"
    if found.rejects:
        yield f"  rejected        {sum(r.count for r in found.rejects.values()):,}"
    for cause, one in [*found.rejects.items()][:LISTED]:
        key = str(one.example.get("key", ""))
        key = key if len(key) <= SHOWN else f"{key[:SHOWN]}…"
        example = f", such as {key}: {one.example.get('message', '')}" if key else ""
        yield f"    {cause.replace('_', ' ')} ({one.count:,}){example}"
    if len(found.rejects) > LISTED:
        yield f"    … and {len(found.rejects) - LISTED} more causes"
    if found.state not in (DONE, RUNNING):
        yield "  next            the same command goes on from what is kept"


def _word(found: State) -> str:
    if found.state == DONE:
        took = f" in {bars.duration(found.seconds)}" if found.seconds is not None else ""
        return f"done{took}"
    if found.state == RUNNING and found.since_s is not None and found.since_s > state.SILENT_S:
        return f"running, but without a sign of life for {bars.duration(found.since_s)}"
    if found.state in (RUNNING, FAILED):
        return found.state
    if found.since_s is None:
        return "stopped, or not begun"
    return f"stopped: nothing works there; last sign of life {bars.duration(found.since_s)} ago"


def _phases(found: State, now: float) -> Iterator[str]:
    counted = found.counted
    if counted is None:
        return
    at = now if found.state == RUNNING else counted.updated
    for name, phase in sorted(counted.phases.items(), key=lambda item: item[1].began):
        parts = [bars.how_many(name, phase)]
        if phase.done > phase.held:
            parts.append(bars.rate(phase.rate(at), name))
        left = phase.left_s(at)
        if found.state == RUNNING and left:
            parts.append(f"about {bars.duration(left)} left")
        if phase.held:
            parts.append(f"{phase.held:,} of them before")
        yield f"  progress        {', '.join(parts)}"
    if audio_s := counted.counters.get("audio_seconds"):
        per_s = audio_s / max(1e-3, at - counted.began)
        yield f"  audio           {bars.duration(audio_s)} read, {per_s:,.0f} × real time"
    for name, one in sorted(counted.distributions.items()):
        mean, most = one.sum / max(1, one.count), one.max
        if name.endswith("_ms"):
            what = name.removesuffix("_ms").replace("_", " ")
            yield f"  {what:<15} {mean:,.0f} ms each, {most:,.0f} at most, of {one.count:,}"
    processes = "1 process" if counted.processes == 1 else f"{counted.processes} processes"
    yield f"  time            {bars.duration(max(0.0, at - counted.began))}, {processes}"


def _counts(found: State) -> Iterator[str]:
    for name, number in found.record.get("counts", {}).items():
        if number and "/" not in name and name != "rejected":
            yield f"  {bars.words(name):<28} {bars.with_unit(name, number)}"


def _numbers(line: Facts) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:,}"
        if isinstance(value, int)
        else f"{name.replace('_', ' ')} {value:.4g}"
        for name, value in line.items()
        if value is not None
    )


def _size(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def as_json(found: State) -> dict[str, Any]:
    """A state for programs: what `lines` says, and the options."""
    facts = dataclasses.asdict(found)
    counted = found.counted
    facts["counted"] = None if counted is None else to_json(counted)
    if counted is not None:
        now = time.time() if found.state == RUNNING else counted.updated
        for name, phase in counted.phases.items():
            more = {"per_s": phase.rate(now), "left_s": phase.left_s(now)}
            facts["counted"]["phases"][name] = vars(phase) | more
    return facts
