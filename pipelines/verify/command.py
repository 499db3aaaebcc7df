"""A corpus, or the salience beside one → is every byte what its run record and index say?

No Beam; nothing is written.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tqdm import tqdm

from pipelines.verify import index, salience, shards
from stemlode import cards, files, runs, schemas
from stemlode.addresses.rules import NOT_OPENED
from stemlode.arguments import Parser
from stemlode.runs import BadUsage, Failed
from stemlode.shards import tar

OF_HUBS = re.compile(r"\.gitattributes|\.cache/huggingface/.*")  # what a download leaves
SHOWN = 50  # lines that are printed of what is wrong


def check(folder: str, workers: int = 1) -> tuple[list[str], dict[str, Any]]:
    """What is wrong with a corpus, or with salience, a line each, and the counts of its record.

    Every file is read once and compared with its SHA-256; tables have their schema and the counts
    of the record; splits share no song, group or track, nor an artist if they were made so; shards
    are numbered without gaps and within their bound; every sample lies where the index says, holds
    what the index says, and decodes.
    Memory holds the index and a sample (or row group) for each worker.

    Raises BadUsage where there is no finished corpus, Failed where its record is unreadable.
    """
    record = runs.record(folder)
    outputs: dict[str, str] = record["outputs"]
    heard = record["verb"] == salience.VERB
    if not heard and not any(name.startswith("index-") for name in outputs):
        raise BadUsage(f"{folder}: holds a run of {record['verb']}, not a corpus")
    wrong = [*_plan(folder, record), *_listing(folder, record)]
    schema = schemas.SALIENCE if heard else schemas.INDEX
    rows, about_tables = index.read(folder, record, schema)
    wrong += about_tables
    rows_of = index.by_shard(rows)
    names = sorted(name for name in outputs if tar.SHARD.fullmatch(name))
    wrong += index.known(rows_of, names)
    limit, judge = None, salience.judge
    if heard:
        wrong += salience.hygiene(rows)
        wrong += salience.counted(rows, len(names), record)
    else:
        wrong += index.hygiene(rows)
        if record["options"].get("split_by") == "artist":
            wrong += index.artists(index.read(folder, record, schemas.SONG)[0])
        wrong += index.numbering(names)
        wrong += index.counted(rows, len(names), record)
        limit = tar.parse_bytes(record["options"].get("shard_bytes", "256MiB"))
        judge = shards.recording

    def shard(name: str) -> list[str]:
        held = rows_of.get(name, rows.slice(0, 0))
        return shards.check(folder, name, outputs[name], held, limit, judge)

    wrong += _spread(shard, names, workers)
    return wrong, record["counts"]


def _plan(folder: str, record: dict[str, Any]) -> Iterator[str]:
    """The record and the plan were written apart, so a flipped byte in one shows."""
    path = files.join(folder, runs.PLAN)
    try:
        asked = {key: record[key] for key in ("verb", "options", "inputs")}
        named = {"decoder": record["decoder"]} if "decoder" in record else {}
        plan = runs.to_json(asked | named)
        if files.read_bytes(path) != plan:
            yield f"{runs.PLAN}: differs from what {runs.RECORD} says was asked for"
    except (OSError, KeyError) as error:
        yield f"{runs.PLAN}: {runs.reason(error)}"


def _listing(folder: str, record: dict[str, Any]) -> Iterator[str]:
    """Files that are there and not in the record; those missing are found when they are read."""
    root = files.join(folder, "")
    kept = files.join(runs.PARTS, "") if any(map(record["counts"].get, NOT_OPENED)) else None
    for path in files.list_files(folder):
        name = path.removeprefix(root)
        if name.startswith(files.join(runs.PROGRESS, "")):
            continue  # of a worker that noticed the end too late
        if kept and name.startswith(kept):
            continue  # for an attempt that tries again what was not opened
        if cards.KEPT.fullmatch(name) or OF_HUBS.fullmatch(name):
            continue  # somebody's words, or a hub's
        if name not in record["outputs"] and name not in runs.OWN:
            yield f"{name}: not in {runs.RECORD}; a killed run left it, or it is none of ours"


def edited(folder: str) -> list[str]:
    """What a corpus says of itself in other words than it was made with, a line each: its card may
    be edited, and is no part of its data."""
    outputs, found = runs.record(folder)["outputs"], []
    for name in cards.NAMES:
        path = files.join(folder, name)
        if name in outputs and not files.exists(path):
            found.append(f"{name} is missing; corpus --append makes it anew")
        elif name in outputs and files.sha256(path) != outputs[name]:
            found.append(f"{name} was edited since it was made")
    return found


def _spread(work: Callable[[str], list[str]], names: list[str], workers: int) -> list[str]:
    """The lines of all shards in their order; hashing and decoding let threads run beside."""
    with ThreadPoolExecutor(workers) as pool:
        done = tqdm(pool.map(work, names), "verify", len(names), unit="shard", disable=None)
        return [line for lines in done for line in lines]


def parser(argv: Sequence[str] = ()) -> Parser:
    """The command line."""
    found = Parser(
        prog="stemlode verify",
        usage="%(prog)s CORPUS [--workers N]",
        description="Reread a corpus, or the salience beside one: hashes, schema, counts, offsets, "
        "decoding, splits. "
        "Exit status 0 where all is well, 1 with a line for everything that is wrong.",
    )
    found.add_argument(
        "corpus",
        nargs="?",
        metavar="CORPUS",
        help="folder written by corpus, pseudolabel or salience",
    )
    found.add_argument("--corpus", dest="named", metavar="CORPUS", help="the same")
    found.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="threads (one a core)"
    )
    return found


def main(argv: Sequence[str]) -> int:
    """Run `stemlode verify`; 0 where all is well, 1 where something is wrong."""
    options = parser().parse(argv)
    folder = options.named or options.corpus
    if not folder or (options.named and options.corpus):
        raise BadUsage("stemlode verify needs one CORPUS (see --help)")
    if not 1 <= options.workers <= 1024:
        raise BadUsage(f"--workers {options.workers}: between 1 and 1024")
    folder = files.absolute(folder)
    wrong, counts = check(folder, options.workers)
    for line in wrong[:SHOWN]:
        print(runs.on_one_line(" ".join(line.split())), file=sys.stderr)
    if wrong:
        more = f", the first {SHOWN} above" if len(wrong) > SHOWN else ""
        raise Failed(f"{folder}: {len(wrong)} things are wrong{more}")
    if not counts.get("samples"):
        raise Failed(f"{folder}: holds no sample; its rejects, if it has any, say why")
    much = f"{counts['hours']:.2f} hours" if "hours" in counts else f"{counts['frames']:,} frames"
    print(
        f"verify: {folder} is whole: {counts.get('samples', 0):,} samples of "
        f"{counts.get('songs', 0):,} songs in {counts.get('shards', 0):,} shards, {much}"
    )
    for line in edited(folder):
        print(f"note: {line}")
    return 0
