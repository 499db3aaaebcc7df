"""`stemlode export-manifest CORPUS`: a corpus → manifests of it, as lhotse reads them.

No Beam, no torch; no audio is read.
"""

import contextlib
import gzip
import json
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.export_manifest import lhotse
from stemlode import files, runs, tables
from stemlode.arguments import Parser
from stemlode.runs import BadUsage
from stemlode.shards import songs
from stemlode.tables import Row

VERB = "export-manifest"
PREFIX = "stemlode"
RECORDINGS, CUTS = "recordings", "cuts"
SPLITS = ("train", "valid", "test")
WRITES = (rf"{PREFIX}_({RECORDINGS}|{CUTS})_(train|valid|test)\.jsonl\.gz",)
COLUMNS = [*dict.fromkeys((*songs.COLUMNS, "members", *lhotse.FACTS))]
ORDER = [(name, "ascending") for name in ("shard", "offset")]


def parser(argv: Sequence[str] = ()) -> Parser:
    """The command line."""
    found = Parser(
        prog="stemlode export-manifest",
        usage="stemlode export-manifest CORPUS --output FOLDER [options]",
        description="Write what lhotse reads a corpus by, where it lies: for each split "
        f"{PREFIX}_{RECORDINGS}_SPLIT.jsonl.gz, a recording for each source of each chunk, and "
        f"{PREFIX}_{CUTS}_SPLIT.jsonl.gz, a cut for each chunk, of its mixture, with all sources "
        "as fields (cut.load_vocals()). No audio is copied: write them anew if the corpus moves.",
    )
    found.add_argument("corpus", nargs="?", metavar="CORPUS", help="written by `stemlode corpus`")
    found.add_argument("--output", metavar="FOLDER", help="folder to write")
    found.add_argument("--overwrite", action="store_true", help="start over")
    return found


def main(argv: Sequence[str]) -> int:
    """Run `stemlode export-manifest`; the exit status."""
    options = parser(argv).parse(argv)
    for name in ("corpus", "output"):
        if not getattr(options, name):
            said = "a CORPUS" if name == "corpus" else f"--{name}"
            raise BadUsage(f"stemlode {VERB} needs {said} (see --help)")
    corpus, output = files.absolute(options.corpus), files.absolute(options.output)
    if not files.is_local(corpus):
        raise BadUsage(
            f"--corpus {corpus}: lhotse reads no part of a file in a store; copy it to a disk"
        )
    folder = files.system(corpus)[1].rstrip("/")
    if any(mark in f"{folder}/" for mark in lhotse.IN_ARCHIVE):
        raise BadUsage(f"--corpus {corpus}: lhotse takes that folder for an archive; rename it")
    index = pa.concat_tables(
        [tables.read_part(path, COLUMNS) for path in songs.tables(corpus, "index")]
    )
    if not len(index):
        raise BadUsage(f"--corpus {corpus}: holds no sample")
    # The place decides what is written: a corpus that has moved is another.
    decisive = {"folder": folder}
    run = runs.start(
        VERB, output, decisive, {"corpus": corpus}, overwrite=options.overwrite, writes=WRITES
    )
    if run is None:
        print(f"{VERB}: already complete in {output}")
        return 0
    outputs: dict[str, str] = {}
    counts = {"samples": 0, "recordings": 0}
    for split in SPLITS:
        rows = index.filter(pc.equal(index["split"], split)).sort_by(ORDER)
        if len(rows):
            _write(run, split, _dicts(rows), folder, outputs, counts)
    run.finish(counts, outputs)
    print(f"{VERB}: {counts['samples']:,} cuts of {counts['recordings']:,} recordings in {output}")
    return 0


def _write(
    run: runs.Run,
    split: str,
    rows: Iterator[Row],
    folder: str,
    outputs: dict[str, str],
    counts: dict[str, int],
) -> None:
    """Both manifests of a split; adds to the hashes and the counts."""
    names = [f"{PREFIX}_{manifest}_{split}.jsonl.gz" for manifest in (RECORDINGS, CUTS)]
    with contextlib.ExitStack() as stack:
        of_recordings, of_cuts = (
            stack.enter_context(
                gzip.GzipFile("", "wb", 6, stack.enter_context(_file(run, name)), mtime=0)
            )
            for name in names
        )
        for row in rows:
            held = lhotse.recordings(folder, row)
            for recording in held.values():
                of_recordings.write(_line(recording))
            of_cuts.write(_line(lhotse.cut(row, held)))
            counts["samples"] += 1
            counts["recordings"] += len(held)
    outputs |= {name: files.sha256(run.path(name)) for name in names}


def _file(run: runs.Run, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    return files.atomic_write(run.path(name))


def _line(found: dict[str, Any]) -> bytes:
    return json.dumps(found, ensure_ascii=True).encode() + b"\n"


def _dicts(rows: pa.Table) -> Iterator[Row]:
    for batch in rows.to_batches(max_chunksize=1024):
        yield from batch.to_pylist(maps_as_pydicts="strict")
