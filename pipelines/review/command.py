"""`stemlode review SCORED`: listen to a sample of scored pairs, judge them, and set thresholds.

The thesis' thresholds "were chosen by manually checking a random sample of 100 pairs, such that all
pairs consisted of one vocal mixture track and one instrumental" (section 3.5.2). This serves a page
on this machine for doing so, and writes what `prune --thresholds` reads. No Beam.
"""

import argparse
import contextlib
import json
import os
import re
import secrets
import sys
import threading
import time
import webbrowser
from collections.abc import Sequence
from typing import Any

from pipelines.pages.inputs import Folder
from pipelines.pages.pairs import thresholds
from pipelines.review import server
from pipelines.review.estimates import DifferenceWindow
from pipelines.review.judgements import Judgements
from pipelines.review.sample import draw
from pipelines.review.session import JUDGEMENTS, SAMPLE, THRESHOLDS, Session
from stemlode import files, runs
from stemlode.arguments import Parser
from stemlode.runs import BadUsage

VERB = "review"
WRITES = tuple(map(re.escape, (SAMPLE, JUDGEMENTS, THRESHOLDS)))
SIZE = 100  # of the thesis
TARGET = 0.95
DESCRIPTION = """\
Set prune's thresholds by ear. Serves a page on this machine (127.0.0.1) with a random sample of the
pairs that prune scored: listen to mixture, instrumental and difference, and say of each whether it
is a pair, by mouse or by the keys that the page lists. What prune measured and decided of a pair is
hidden until you have. It then shows what precision and recall thresholds on the difference would
have. "Use these" writes the ones you choose to thresholds.json,
for `stemlode prune --thresholds`, and says the command that applies them without reading audio.

Every judgement is on disk as soon as it is made. End with Ctrl-C; the same command goes on where
you left off, and a larger --sample adds pairs to the ones that you have judged.
"""
EXAMPLES = """\
examples:
  stemlode review pairs                       a random sample of 100 (thesis)
  stemlode review pairs --stratified          as many from every difference
  stemlode review pairs --sample 200          later: goes on with 100 more
  stemlode review gs://b/pairs --output here  judgements stay on this machine
  stemlode review pairs --no-browser --port 8765   on a server, reached by
                                              ssh -L 8765:localhost:8765 server
"""


def main(argv: Sequence[str]) -> int:
    """Run `stemlode review` until it is interrupted; the exit status."""
    options = _parsed(argv)
    scored = _scored(options.scored)
    output = _output(options.output, scored.path)
    held = {} if options.overwrite else _held(output)
    how: dict[str, Any] = {  # what is not said stays as it was when the review began
        "seed": _either(options.seed, held.get("seed"), 0),
        "stratified": bool(options.stratified or held.get("stratified")),
    }
    at = server.listen(options.port)
    with contextlib.closing(at):
        size = options.sample or (_held_size(output) if held else None) or SIZE
        sample = draw(
            scored,
            size,
            how["seed"],
            stratified=how["stratified"],
            allowed=options.allow_uri or (),
        )
        inputs = {"scored": scored.path}
        if options.overwrite and files.exists(files.join(output, JUDGEMENTS)):
            Judgements(files.join(output, JUDGEMENTS)).close()  # nobody may be judging there
        run = runs.start(VERB, output, how, inputs, overwrite=options.overwrite, writes=WRITES)
        if run is None:  # thresholds were written; judging may go on
            prints = {"scored": scored.fingerprint}
            run = runs.Run(VERB, output, how, prints, time.time())
        with contextlib.closing(Judgements(run.path(JUDGEMENTS))) as judgements:
            files.write_bytes(run.path(SAMPLE), runs.to_json(how | sample.facts()))
            session = Session(run, scored.path, sample, judgements, _window(scored))
            _tell(session, options)
            token = secrets.token_urlsafe(24)
            app = server.application(session, token, options.target_precision)
            url = f"http://{server.HOST}:{at.getsockname()[1]}/{token}/"
            print(f"\n  {url}\n\nreview: open this address; Ctrl-C ends the review", flush=True)
            if options.browser and _has_display():
                threading.Timer(0.3, webbrowser.open, [url]).start()
            with contextlib.suppress(KeyboardInterrupt):
                server.serve(app, at)
            _say_goodbye(session)
    return 0


def parser(argv: Sequence[str] = ()) -> Parser:
    """The command line."""
    found = Parser(
        prog="stemlode review",
        usage="%(prog)s SCORED [options]",
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    add = found.add_argument
    add("scored", metavar="SCORED", help="folder that `stemlode prune` wrote")
    add(
        "--sample", type=int, metavar="N", help=f"pairs to judge (default {SIZE}, as in the thesis)"
    )
    add(
        "--allow-uri",
        action="append",
        metavar="BEGINNING",
        help="open files whose addresses begin so, or that lie in this folder, although prune was "
        "not allowed to; may be given again",
    )
    add(
        "--stratified",
        action="store_true",
        help="draw as many from every 0.1 of the difference, where a random sample would hold few "
        "pairs near the thresholds; estimates are weighted back",
    )
    add("--seed", type=int, metavar="N", help="of the random sample (default 0)")
    add(
        "--target-precision",
        type=float,
        default=TARGET,
        metavar="P",
        help=f"share of pairs among what is kept, to find thresholds for (default {TARGET}); "
        "the page can change it",
    )
    add("--output", metavar="FOLDER", help="for judgements and thresholds (default SCORED-review)")
    add("--overwrite", action="store_true", help="discard earlier judgements and start over")
    add("--port", type=int, default=0, help="of the page (default: any that is free)")
    add("--no-browser", dest="browser", action="store_false", help="only print the address")
    return found


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    options = parser(argv).parse(argv)
    if options.sample is not None and options.sample < 1:
        raise BadUsage(f"--sample {options.sample}: at least 1")
    if not 0 < options.target_precision <= 1:
        raise BadUsage(f"--target-precision {options.target_precision:g}: above 0, at most 1")
    if not 0 <= options.port <= 65_535:
        raise BadUsage(f"--port {options.port}: between 0 and 65535")
    return options


def _scored(path: str) -> Folder:
    """The finished prune run at a path; BadUsage for anything else."""
    folder = files.absolute(path)
    record = runs.record(folder)
    if record["verb"] != "prune":
        raise BadUsage(f"{path} holds a run of {record['verb']}; name a folder that prune wrote")
    return Folder(folder, record)


def _output(given: str | None, scored: str) -> str:
    """Where judgements go: a folder of this machine, whose disk can promise to keep them."""
    output = files.absolute(given or f"{scored.rstrip('/')}-review")
    if not files.is_local(output):
        what = f"--output {given}: " if given else f"{scored} is remote: "
        raise BadUsage(what + "judgements need a folder of this machine; name one with --output")
    return output


def _held(output: str) -> dict[str, Any]:
    """The options with which a review began in this folder; none where there is none."""
    return _json(files.join(output, runs.PLAN)).get("options") or {}


def _held_size(output: str) -> int | None:
    pairs = _json(files.join(output, SAMPLE)).get("pairs")
    return len(pairs) if isinstance(pairs, list) else None


def _json(path: str) -> dict[str, Any]:
    try:
        found = json.loads(files.read_bytes(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _either(given: int | None, held: object, otherwise: int) -> int:
    if given is not None:
        return given
    return held if isinstance(held, int) else otherwise


def _window(scored: Folder) -> DifferenceWindow | None:
    """What prune itself was told."""
    found = thresholds(scored)
    return DifferenceWindow(found["min"], found["max"]) if len(found) == 2 else None


def _tell(session: Session, options: argparse.Namespace) -> None:
    sample, judgements = session.sample, session.judgements
    size, readable = len(sample.pairs), len(sample.difference)
    if options.sample and options.sample > size:
        print(f"review: --sample {options.sample}: only {size:,} pairs can be heard; all are in it")
    kind = "a stratified" if session.run.options["stratified"] else "a random"
    whole = "all" if size == readable else f"{kind} sample of {size:,} of"
    left_out = f" ({sample.unreadable:,} unreadable ones left out)" if sample.unreadable else ""
    print(f"review: {whole} {readable:,} scored pairs{left_out}; {_progress(session)}")
    print(f"review: judgements go to {judgements.path}")
    if judgements.damaged:
        one = judgements.damaged == 1
        lines = (
            "1 damaged line in it is" if one else f"{judgements.damaged:,} damaged lines in it are"
        )
        print(f"review: {lines} passed over")


def _say_goodbye(session: Session) -> None:
    print(f"\nreview: {_progress(session)}; the same command goes on from here")
    if files.exists(session.run.path(runs.SUCCESS)):
        print(f"review: with the thresholds that you chose, run\n\n  {session.command}")


def _progress(session: Session) -> str:
    judged = sum(verdict is not None for verdict in session.verdicts)
    return f"{judged:,} of {len(session.verdicts):,} judged"


def _has_display() -> bool:
    """Whether a window can be opened; a browser in the terminal would take it over."""
    unix = sys.platform not in ("darwin", "win32")
    return not unix or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
