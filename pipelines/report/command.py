"""`stemlode report RUN…`: any run folders → one HTML page."""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.pages import inputs
from pipelines.pages.inputs import Folder
from pipelines.report.compare import partner
from pipelines.report.page import GENERATOR, PLAYERS, page
from stemlode import files
from stemlode.arguments import Parser
from stemlode.runs import BadUsage, Failed, reason

PAGE = "report.html"


def parser(argv: Sequence[str] = ()) -> Parser:
    """The command line."""
    found = Parser(
        prog="stemlode report",
        usage="%(prog)s RUN [RUN …] --output FILE",
        description="Show what runs did on one HTML page that needs no network and no other file.",
    )
    found.add_argument(
        "runs", nargs="*", metavar="RUN", help="a run folder, or a folder that holds run folders"
    )
    found.add_argument(
        "--output",
        metavar="FILE",
        help=f"page to write (.html), or a folder for {PAGE}",
    )
    found.add_argument(
        "--allow-uri",
        action="append",
        metavar="BEGINNING",
        help="play files whose addresses begin so, or that lie in this folder, although prune was "
        "not allowed to open them (docs/addresses.md); may be given again",
    )
    found.add_argument(
        "--compare",
        action="append",
        metavar="RUN",
        help="put this run beside the page's run of the same verb: options, counts, decisions, "
        "scores, curves; may be given again",
    )
    found.add_argument(
        "--players",
        type=int,
        default=PLAYERS,
        metavar="N",
        help=f"how many pairs can be seen and heard (default {PLAYERS}); each takes about 0.2 MB",
    )
    return found


def _page_path(output: str) -> str:
    """Where the page goes: the file named, or report.html in the folder named.

    BadUsage where something else is there.
    """
    path = output if output.lower().endswith((".html", ".htm")) else files.join(output, PAGE)
    if Path(files.absolute(path)).is_dir():
        raise BadUsage(f"--output {output}: {path} is a folder; choose another name")
    if path != output and files.is_file(output):
        raise BadUsage(f"--output {output}: is a file; name a folder, or a page that ends in .html")
    if files.exists(path):
        with files.open_input(path) as file:
            start = file.read(4096)
        if start and f'content="{GENERATOR}"'.encode() not in start:
            raise BadUsage(f"--output {output}: holds something else; choose another name")
    return path


def _others(paths: Sequence[str], allowed: Sequence[str], folders: list[Folder]) -> list[Folder]:
    """The runs to put beside those of the page. Of a folder of runs, those whose verb is not among
    them are said and left out; BadUsage where that leaves none."""
    kept = []
    for path in paths:
        every = inputs.find([path], allowed)[0]
        alone = [other for other in every if partner(other, folders) is None]
        if len(alone) == len(every):
            verbs = " and ".join(dict.fromkeys(other.verb for other in every))
            raise BadUsage(
                f"--compare {path}: a run of {verbs}, and there is no other among the runs of the "
                "page to put beside it"
            )
        for other in alone:
            said = f"--compare {other.path}: no other run of {other.verb} is on the page"
            print(f"report: {said}; left out", file=sys.stderr)
        kept += [other for other in every if other not in alone]
    return kept


def main(argv: Sequence[str]) -> int:
    """Run `stemlode report`; the exit status."""
    own = parser(argv)
    options = own.parse(argv)
    if not options.runs or not options.output:
        own.error("needs a run folder" if options.output else "needs --output")
    if options.players < 0:
        raise BadUsage(f"--players {options.players}: at least 0")
    path = _page_path(options.output)
    folders, unfinished = inputs.find(options.runs, options.allow_uri or ())
    others = _others(options.compare or (), options.allow_uri or (), folders)
    html = page(folders, unfinished, options.players, others)
    try:
        files.write_bytes(path, html.encode())
    except OSError as error:
        raise Failed(f"--output {path}: cannot be written: {reason(error)}") from error
    for folder in unfinished:
        print(f"report: not finished, and left out: {folder}", file=sys.stderr)
    print(f"report: {len(folders)} run{'s'[: len(folders) != 1]} on one page, {path}")
    return 0
