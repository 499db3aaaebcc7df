"""`stemlode evaluate`: a checkpoint and songs whose sources are known → scores.

What is scored is what `stemlode separate` writes: all channels at the full rate. Estimates are
band-limited by the model's rate; if a net estimates one source, the other stem is the rest of the
mixture.
"""

import argparse
import functools
import hashlib
import io
import json
import math
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
from stemlode.tables import Row
from training.checkpoint import load
from training.data.corpus import open_corpus
from training.devices import pick_device
from training.evaluation import estimates, melody, references, table, voiced
from training.evaluation.estimates import Estimates
from training.evaluation.scoring import Scorer, part_name
from training.evaluation.table import METRICS, SCHEMA
from training.pitch import teachers
from training.published import places
from training.separation.options import (
    LATER,
    add_batch,
    add_chunking,
    add_shifts,
    chunking_of,
    cut,
    numbered,
)
from training.separation.system import Parts, System

TABLE = "songs.parquet"
WRITES = (re.escape(TABLE),)
LOWEST_RATE, HIGHEST_RATE = 1000, 192_000  # Hz
Song = references.Stems | references.ChunkedSong | voiced.Clip
Listed = Sequence[Song]


def main(argv: Sequence[str]) -> int:
    """Run `stemlode evaluate`; the exit status."""
    options = parser().parse(argv)
    _refuse(options)
    if options.f0:
        device = pick_device(options.device)
        return melody.carry_out(options, [load(folder, device) for folder in options.checkpoint])
    chunking, metrics = chunking_of(options), _metrics(options.metrics)
    device = pick_device(options.device)
    models = [load(folder, device) for folder in options.checkpoint]
    system = System(models, chunking) if models else None
    others = estimates.opened([files.absolute(folder) for folder in options.estimates])
    wanted = {stem for model in models for stem in model.recipe.separated}
    wanted = wanted or {stem for other in others for stem in other.stems}
    listed, given, decisive = _listed(options, wanted)
    rejects: dict[str, str] = {}
    without: list[str] = []
    if options.melody:
        given["melody"] = files.absolute(options.melody)
        listed, rejects, without = _sung(listed, given["melody"], options.clip_seconds)
    decisive["clip_seconds"] = options.clip_seconds
    decisive |= {
        **cut(chunking),
        "batch": chunking.batch,
        "metrics": ",".join(metrics),
        "score_rate": options.score_rate,
    }
    output = files.absolute(options.output)
    inputs = numbered("checkpoint", options.checkpoint) | given
    inputs |= numbered("estimates", options.estimates)
    run = runs.start(
        "evaluate",
        output,
        decisive,
        inputs,
        overwrite=options.overwrite,
        added={"score_rate": None, "clip_seconds": None, **LATER},
        writes=WRITES,
    )
    if run is None:
        print(f"evaluate: already complete in {output}")
        print(table.text(runs.record(output)["statistics"]))
        return 0

    for name, why in rejects.items():
        print(runs.on_one_line(f"evaluate: left out {name}: {why}"), file=sys.stderr)
    if without:
        print(f"evaluate: {len(without)} without vocals by --melody, such as {without[0]}")
    rows: list[dict[str, Any]] = []
    scorer = Scorer(metrics, device, rate=options.score_rate)
    for song in tqdm(listed, "evaluate", unit="song", disable=None):
        try:
            found, faults = _scored(run, song, scorer, system, others)
        except AudioError as error:
            found, faults = [], {song.name: str(error)}
        rows += found
        rejects |= faults
        for name, why in faults.items():
            tqdm.write(runs.on_one_line(f"evaluate: left out {name}: {why}"), file=sys.stderr)
    if not rows:
        raise Failed(f"none of {len(listed)} songs can be evaluated; the lines above say why")
    at_once = chunking.at_once if models else None
    used = [model.origin for model in models]
    _finish(run, rows, rejects, scorer, without if options.melody else None, at_once, used)
    return 0


def _refuse(options: argparse.Namespace) -> None:
    """BadUsage for options that do not go together."""
    if not options.output:
        raise BadUsage("stemlode evaluate needs --output (see --help)")
    if options.clip_seconds and not options.melody:
        raise BadUsage("--clip-seconds says how songs are cut by --melody, which is not given")
    if options.f0 and options.melody:
        raise BadUsage("--f0 scores pitch and --melody chooses songs to separate: take one of them")
    if options.f0:
        return
    if not (options.checkpoint or options.estimates):
        raise BadUsage("stemlode evaluate needs --checkpoint or --estimates (see --help)")
    if bool(options.stems) == bool(options.corpus):
        raise BadUsage("stemlode evaluate needs either --stems or --corpus (see --help)")
    if options.melody and options.corpus:
        raise BadUsage("--melody annotates songs by their names: give them by --stems")


def _finish(
    run: runs.Run,
    rows: list[Row],
    rejects: dict[str, str],
    scorer: Scorer,
    without_vocals: list[str] | None,
    at_once: int | None,
    used: list[dict[str, Any]],
) -> None:
    """Write the table and the record, and say what came of it."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), buffer, compression="zstd")
    files.write_bytes(run.path(TABLE), buffer.getvalue())
    statistics = table.spread(rows)
    songs = len({row["song"] for row in rows})
    facts: dict[str, Any] = {"without_vocals": without_vocals}
    run.finish(
        {
            "songs": songs,
            **{f"silent_{stem}": _silent(rows, stem) for stem in table.stems(rows)},
            "rejected": len(rejects),
            **({} if without_vocals is None else {"without_vocals": len(without_vocals)}),
        },
        {TABLE: hashlib.sha256(buffer.getvalue()).hexdigest()},
        scores=table.summary(rows),
        statistics=statistics,
        seconds_of={name: round(taken, 3) for name, taken in scorer.watch.seconds.items()},
        rejects=rejects,
        chunks_at_once=at_once,
        checkpoints=used,
        **({} if without_vocals is None else facts),
    )
    files.remove(run.path(runs.PARTS))
    print(f"evaluate: {songs} songs, {len(rejects)} rejected, in {run.output}")
    print(table.text(statistics))


def _scored(
    run: runs.Run,
    song: Song,
    scorer: Scorer,
    system: System | None,
    others: Sequence[Estimates],
) -> tuple[list[Row], dict[str, str]]:
    """A song's rows, and which estimates are left out and why; those of a killed run are read
    again. AudioError if the song itself cannot be used."""
    part = run.path(part_name(song.name))
    if files.exists(part):
        held = json.loads(files.read_bytes(part))
        return (held["rows"], held["rejects"]) if isinstance(held, dict) else (held, {})
    known = scorer.watch.of("reading", song.load)
    rows = [] if system is None else scorer.of_system(song.name, known, system)
    stems = None if system is None else [row["source"] for row in rows]
    rejects: dict[str, str] = {}
    for other in others:
        try:
            read = functools.partial(_estimated, other, song, known, stems)
            estimate = scorer.watch.of("reading", read)
            among = stems or list(estimate)
            rows += scorer.of_estimates(song.name, known, other.name, estimate, system, among)
        except AudioError as error:
            rejects[f"{song.name}, {other.name}"] = str(error)
    files.write_bytes(part, json.dumps({"rows": rows, "rejects": rejects}).encode())
    return rows, rejects


def _estimated(
    other: Estimates, song: Song, known: references.ReferenceSong, stems: list[str] | None
) -> Parts:
    """What another separator gave of a song, or of the clip of it that is scored."""
    if not isinstance(song, voiced.Clip):
        return other.load(song, known, stems)
    return song.cut(other.load(song.song, song.whole(), stems), known.sample_rate)


def _listed(
    options: argparse.Namespace, wanted: set[str]
) -> tuple[Listed, dict[str, str], dict[str, Any]]:
    """The songs to score in these stems, what is read for them, and the options that decide which
    songs they are."""
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


def _sung(
    listed: Listed, folder: str, clip_s: float | None
) -> tuple[Listed, dict[str, str], list[str]]:
    """`voiced.clips` of the songs; BadUsage where none of them has vocals."""
    songs = [song for song in listed if isinstance(song, references.Stems)]
    found, faults, without = voiced.clips(songs, folder, clip_s)
    if not found:
        first = next(iter(faults.items()), None)
        why = f"; {first[0]}: {first[1]}" if first else ""
        raise BadUsage(f"--melody {folder}: none of {len(songs)} songs has vocals by it{why}")
    return found, faults, without


def _metrics(text: str) -> list[str]:
    """The metrics of an option, uSDR always among them; BadUsage for one that is not known."""
    asked = {"usdr", *(word.strip() for word in text.split(","))}
    if unknown := sorted(asked - {*METRICS, "all"}):
        raise BadUsage(f"--metrics {unknown[0]}: not one of {', '.join(METRICS)}, all")
    return [name for name in METRICS if name in asked or "all" in asked]


def _silent(rows: list[Row], source: str) -> int:
    return len({row["song"] for row in rows if row["source"] == source and table.is_silent(row)})


def rate_hz(text: str) -> int:
    """A sample rate, as an argparse type."""
    value = int(text)
    if not LOWEST_RATE <= value <= HIGHEST_RATE:
        raise argparse.ArgumentTypeError(f"{text} is no rate from {LOWEST_RATE} to {HIGHEST_RATE}")
    return value


def above_one(text: str) -> float:
    """Seconds of a clip, as an argparse type."""
    value = float(text)
    if not voiced.SHORTEST_S <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} must be {voiced.SHORTEST_S:g} s or more")
    return value


def parser(argv: Sequence[str] = ()) -> Parser:
    """The command line."""
    found = Parser(
        prog="stemlode evaluate",
        usage="stemlode evaluate --checkpoint DIR … and/or --estimates DIR …\n"
        "                         (--stems DIR | --corpus DIR) --output DIR [options]",
        description="Score checkpoints, or other separators' estimates, on songs whose sources are "
        "known: the mixture as estimate, the estimate, and an oracle's mask.",
    )
    found.add_argument(
        "--checkpoint",
        metavar="DIR",
        action="append",
        default=[],
        help=f"{places.SAID}; again for a model of another source: what all "
        "of them leave of the mixture is then scored as `other`; or for the thesis' two U-Nets: "
        "vocals by one, accompaniment by the other",
    )
    found.add_argument(
        "--estimates",
        metavar="DIR",
        action="append",
        default=[],
        help="another separator's estimates, to score beside checkpoints or alone: a folder for "
        "each song, named like it, with a file for each stem (SONG/vocals.wav); again for more",
    )
    found.add_argument(
        "--stems",
        metavar="DIR",
        help="multitrack folder: MUSDB18, MUSDB18-HQ, MoisesDB, MedleyDB, iKala, or a folder a "
        "song with a file a source; a missing mixture is their sum",
    )
    found.add_argument(
        "--layout",
        choices=("auto", *folders.LAYOUTS),
        default="auto",
        help="how the songs of --stems lie in their folders",
    )
    found.add_argument("--mapping", metavar="FILE", help="TOML that says so in place of a layout")
    found.add_argument("--corpus", metavar="DIR", help="folder written by `stemlode corpus`")
    found.add_argument(
        "--split",
        help="train, valid or test: of a corpus (valid), or of a collection that has them (all)",
    )
    found.add_argument(
        "--metrics",
        default="usdr,csdr",
        metavar="NAMES",
        help="of " + ", ".join(METRICS) + ", or all: SDR of whole songs; of 1 s frames; museval's "
        "ISR, SIR and SAR of these; mir_eval's SDR, NSDR, SIR and SAR in mono (usdr,csdr)",
    )
    found.add_argument(
        "--score-rate",
        type=rate_hz,
        metavar="HZ",
        help="resample truths and estimates to this rate before they are scored (the thesis: "
        "8192); by default each song is scored at its own",
    )
    found.add_argument(
        "--melody",
        metavar="DIR",
        help="score only songs that contain vocals by their melody annotations (thesis, 4.3): a "
        "folder of SONG.pv as iKala's PitchLabel or SONG.csv of seconds and Hz as MedleyDB's",
    )
    found.add_argument(
        "--clip-seconds",
        type=above_one,
        metavar="S",
        help="with --melody: cut songs into clips of so many seconds, and score those with vocals",
    )
    found.add_argument(
        "--f0",
        metavar="DIR",
        help="score the pitch of the vocals in place of separation, by mir_eval's OA and RPA: a "
        "folder with each song's true f0, SONG.pv as iKala's PitchLabel or SONG.csv of seconds "
        "and Hz as MedleyDB's",
    )
    found.add_argument(
        "--tracker",
        choices=teachers.NAMES,
        action="append",
        default=[],
        help="with --f0: a teacher of pitch beside the checkpoints, on the mixture, on the clean "
        "vocals and on those that the first checkpoint separates; again for another",
    )
    found.add_argument(
        "--weights", metavar="FILE", help="of Deep Salience: deepsalience_multif0.h5"
    )
    found.add_argument(
        "--f0-estimates",
        metavar="DIR",
        action="append",
        default=[],
        help="with --f0: what another tracker heard, SONG/f0.csv as `stemlode pitch` writes it or "
        "SONG.csv of time_s,f0_hz,confidence; a name that ends in -vocals or -separated says what "
        "it listened to; again for more",
    )
    found.add_argument("--output", metavar="DIR", help="folder to write; a rerun resumes")
    add_chunking(found)
    add_shifts(found)
    add_batch(found)
    found.add_argument("--overwrite", action="store_true", help="start over")
    found.add_argument("--device", help="cpu, cuda or cuda:1; by default a GPU where there is one")
    return found
