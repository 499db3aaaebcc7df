"""`stemlode evaluate`: a checkpoint and songs whose sources are known → scores.

What is scored is what `stemlode separate` writes: all channels at the full rate. Estimates are
band-limited by the model's rate; if a net estimates one source, the other stem is the rest of the
mixture.
"""

import argparse
import hashlib
import io
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from stemlode import files, runs
from stemlode.arguments import Parser
from stemlode.audio import AudioError
from stemlode.layouts import folders
from stemlode.runs import BadUsage, Failed
from training.checkpoint import load
from training.data.corpus import open_corpus
from training.devices import pick_device
from training.evaluation import references, table
from training.evaluation.scoring import Stopwatch, part_name, score
from training.evaluation.table import METRICS, SCHEMA
from training.separation.options import add_chunking, chunking_of, cut, named_checkpoints
from training.separation.system import System

TABLE = "songs.parquet"
WRITES = (re.escape(TABLE),)
Listed = Sequence[references.Stems | references.ChunkedSong]


def main(argv: Sequence[str]) -> int:
    """Run `stemlode evaluate`; the exit status."""
    options = _parser().parse(argv)
    for name in ("checkpoint", "output"):
        if not getattr(options, name):
            raise BadUsage(f"stemlode evaluate needs --{name} (see --help)")
    if bool(options.stems) == bool(options.corpus):
        raise BadUsage("stemlode evaluate needs either --stems or --corpus (see --help)")
    chunking, metrics = chunking_of(options), _metrics(options.metrics)
    device = pick_device(options.device)
    models = [load(folder, device) for folder in options.checkpoint]
    system = System(models, chunking)
    listed, given, decisive = _listed(options, system)
    decisive |= {**cut(chunking), "metrics": ",".join(metrics)}
    output = files.absolute(options.output)
    inputs = named_checkpoints(options.checkpoint) | given
    run = runs.start(
        "evaluate", output, decisive, inputs, overwrite=options.overwrite, writes=WRITES
    )
    if run is None:
        print(f"evaluate: already complete in {output}")
        print(table.text(runs.record(output)["statistics"]))
        return 0

    rows: list[dict[str, Any]] = []
    rejects: dict[str, str] = {}
    watch = Stopwatch()
    for song in tqdm(listed, "evaluate", unit="song", disable=None):
        try:
            rows += _scored(run, song, system, metrics, watch)
        except AudioError as error:
            rejects[song.name] = str(error)
            left_out = runs.on_one_line(f"evaluate: left out {song.name}: {error}")
            tqdm.write(left_out, file=sys.stderr)
    if not rows:
        raise Failed(f"none of {len(listed)} songs can be evaluated; the lines above say why")
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), buffer, compression="zstd")
    files.write_bytes(run.path(TABLE), buffer.getvalue())
    statistics = table.spread(rows)
    run.finish(
        {
            "songs": len({row["song"] for row in rows}),
            **{f"silent_{stem}": _silent(rows, stem) for stem in table.stems(rows)},
            "rejected": len(rejects),
        },
        {TABLE: hashlib.sha256(buffer.getvalue()).hexdigest()},
        scores=table.summary(rows),
        statistics=statistics,
        seconds_of={name: round(taken, 3) for name, taken in watch.seconds.items()},
        rejects=rejects,
    )
    files.remove(run.path(runs.PARTS))
    print(f"evaluate: {len(listed) - len(rejects)} songs, {len(rejects)} rejected, in {output}")
    print(table.text(statistics))
    return 0


def _scored(
    run: runs.Run,
    song: references.Stems | references.ChunkedSong,
    system: System,
    metrics: Sequence[str],
    watch: Stopwatch,
) -> list[dict[str, Any]]:
    """A song's rows; those of a killed run are read again."""
    part = run.path(part_name(song.name))
    if files.exists(part):
        return json.loads(files.read_bytes(part))
    known = watch.of("reading", song.load)
    rows = score(song.name, known, system, metrics, watch)
    files.write_bytes(part, json.dumps(rows).encode())
    return rows


def _listed(
    options: argparse.Namespace, system: System
) -> tuple[Listed, dict[str, str], dict[str, Any]]:
    """The songs to score, what is read for them, and the options that decide which they are."""
    if options.corpus:
        if options.mapping or options.layout != "auto":
            raise BadUsage("--layout and --mapping say how --stems lies, which is not given")
        given = {"corpus": files.absolute(options.corpus)}
        split = options.split or "valid"
        return references.in_corpus(open_corpus(given["corpus"]), split), given, {"split": split}
    given = {"stems": files.absolute(options.stems)}
    decisive = {"layout": options.layout}
    if options.mapping:
        given["mapping"] = files.absolute(options.mapping)
    wanted = {stem for model in system.models for stem in model.recipe.separated}
    listed = references.in_folder(
        given["stems"], options.layout, references.grouping(wanted), given.get("mapping")
    )
    if options.split:
        decisive["split"] = options.split
        held = sorted({song.song.split for song in listed if song.song.split})
        listed = [song for song in listed if song.song.split == options.split]
        if not listed:
            known = f"it has {', '.join(held)}" if held else "its layout knows no splits"
            raise BadUsage(f"--split {options.split}: no song of {given['stems']}; {known}")
    return listed, given, decisive


def _metrics(text: str) -> list[str]:
    """The metrics of an option, uSDR always among them; BadUsage for one that is not known."""
    asked = {"usdr", *(word.strip() for word in text.split(","))}
    if unknown := sorted(asked - {*METRICS, "all"}):
        raise BadUsage(f"--metrics {unknown[0]}: not one of {', '.join(METRICS)}, all")
    return [name for name in METRICS if name in asked or "all" in asked]


def _silent(rows: list[dict[str, Any]], source: str) -> int:
    return sum(row["source"] == source and table.is_silent(row) for row in rows)


def _parser() -> Parser:
    parser = Parser(
        prog="stemlode evaluate",
        description="Score checkpoints on songs whose sources are known: the mixture as estimate, "
        "the nets' estimate, and an oracle's mask.",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="DIR",
        action="append",
        help="folder written by `stemlode train`; again for a model of another source: what all "
        "of them leave of the mixture is then scored as `other`; or for the thesis' two U-Nets: "
        "vocals by one, accompaniment by the other",
    )
    parser.add_argument(
        "--stems",
        metavar="DIR",
        help="multitrack folder: MUSDB18, MUSDB18-HQ, MoisesDB, MedleyDB, iKala, or a folder a "
        "song with a file a source; a missing mixture is their sum",
    )
    parser.add_argument(
        "--layout",
        choices=("auto", *folders.LAYOUTS),
        default="auto",
        help="how the songs of --stems lie in their folders",
    )
    parser.add_argument("--mapping", metavar="FILE", help="TOML that says so in place of a layout")
    parser.add_argument("--corpus", metavar="DIR", help="folder written by `stemlode corpus`")
    parser.add_argument(
        "--split",
        help="train, valid or test: of a corpus (valid), or of a collection that has them (all)",
    )
    parser.add_argument(
        "--metrics",
        default="usdr,csdr",
        metavar="NAMES",
        help="of " + ", ".join(METRICS) + ", or all: SDR of whole songs; of 1 s frames; museval's "
        "ISR, SIR and SAR of these; mir_eval's SDR, NSDR, SIR and SAR in mono (usdr,csdr)",
    )
    parser.add_argument("--output", metavar="DIR", help="folder to write; a rerun resumes")
    add_chunking(parser)
    parser.add_argument("--overwrite", action="store_true", help="start over")
    parser.add_argument("--device", help="cpu, cuda or cuda:1; by default a GPU where there is one")
    return parser
