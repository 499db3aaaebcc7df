"""`stemlode separate INPUT…`: any audio file → its sources."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from stemlode import audio, files, plans, runs
from stemlode.arguments import Parser
from stemlode.audio import AudioError
from stemlode.runs import BadUsage, Failed
from training import console
from training.checkpoint import load
from training.devices import pick_device
from training.published import places
from training.separation import formats, names, songs
from training.separation import held as earlier
from training.separation.formats import Form
from training.separation.held import Held
from training.separation.options import (
    LATER,
    add_batch,
    add_chunking,
    add_shifts,
    chunking_of,
    cut,
    numbered,
)
from training.separation.separate import separate_file
from training.separation.streams import ScratchError
from training.separation.system import System

WRITES = (names.pattern(names.DEFAULT, formats.NAMES),)
ADDED = LATER | {**Form().facts(), "stems": None, "name": names.DEFAULT}
LONGEST_STATED = 7 * 86_400.0  # seconds; a header that claims more is not believed


def main(argv: Sequence[str]) -> int:
    """Run `stemlode separate`; the exit status, 1 where an input could not be separated."""
    options = parser().parse(argv)
    if not options.checkpoint:
        raise BadUsage("stemlode separate needs --checkpoint (see --help)")
    chunking = chunking_of(options)
    device = pick_device(options.device)
    models = [load(folder, device) for folder in options.checkpoint]
    system = System(models, chunking, options.residual)
    stems = system.stems
    output = files.absolute(options.output)
    asked, without = songs.named(options.inputs, output)
    form, written_stems = _written(options, stems)
    template = names.check(options.name, written_stems)
    inputs = asked if options.overwrite else songs.with_held("separate", output, asked)
    held = Held(output) if options.overwrite else Held.of(output)
    tracks = held.named(inputs)
    every = names.of_songs(template, [*tracks.values()], written_stems, form.name)
    named = dict(zip(tracks, every, strict=True))
    whole = {source: held.is_whole(source, named[source].values()) for source in asked}
    decisive = {"inputs": inputs, "batch": chunking.batch, "name": template} | form.facts()
    decisive |= cut(chunking) | {"stems": written_stems if options.stems else None}
    if options.residual:
        decisive["residual"] = True
    checkpoints = numbered("checkpoint", options.checkpoint)
    run = songs.claimed(
        *("separate", output, decisive, checkpoints),
        overwrite=options.overwrite, added=ADDED, writes=_writes(output, template),
        again=not all(whole.values()),
    )  # fmt: skip
    for path, why in without.items():
        print(runs.on_one_line(f"error: {path}: {why}"), file=sys.stderr)
    failed = [*without]
    if run is None:
        print(f"separate: already complete in {output}")
    else:
        rejects = _carry_out(run, system, form, tracks, named, whole, held)
        failed += [source for source in asked if source in rejects]
        for source in asked:
            for path in () if source in rejects else named[source].values():
                print(runs.on_one_line(run.path(path)))
    if failed:
        raise Failed(
            f"{len(failed)} of {len(asked) + len(without)} inputs could not be separated; "
            "the same command tries them again"
        )
    return 0


def _carry_out(
    run: runs.Run,
    system: System,
    form: Form,
    tracks: Mapping[str, str],
    named: Mapping[str, Mapping[str, str]],
    whole: Mapping[str, bool],
    held: Held,
) -> dict[str, str]:
    """Separate what is left of the songs: `tracks` has the name of each one, `named` the paths of
    its stems, `whole` whether those of the songs that are asked for are there. What cannot be used,
    and why."""
    rejects, written, facts = dict[str, str](), dict[str, str](), dict[str, Any]()
    ready = dict(whole)  # also what a killed command was asked for and did not come to
    for source, outputs in named.items():
        if source not in whole and not held.tried(source, outputs.values()):
            ready[source] = held.is_whole(source, outputs.values())
    known = {source: _seconds(source) for source in ready}
    bar = console.audio_bar("separate", sum(known.values()))
    for source, outputs in named.items():
        paths = {path: run.path(path) for path in outputs.values()}
        if source not in ready:
            rejects |= {source: held.rejects[source]} if source in held.rejects else {}
            facts |= {tracks[source]: held.songs[source]} if source in held.songs else {}
            written |= held.kept(paths)
            continue
        before = bar.n
        if not ready[source]:
            try:
                separate_file(source, run.output, system, bar.update, form, outputs)
            except AudioError as error:
                rejects[source] = str(error)
                bar.write(runs.on_one_line(f"error: {source}: {error}"), file=sys.stderr)
                continue
            except OSError as error:
                where = "" if isinstance(error, ScratchError) else f"--output {run.output}: "
                why = f"{runs.reason(error)}; run again to resume"
                raise Failed(f"{where}{source}: {why}") from error
        bar.update(max(0.0, before + known[source] - bar.n))  # what was there, or no header said
        facts[tracks[source]] = earlier.noted(source, paths)
        written |= {path: files.sha256(place) for path, place in paths.items()}
    bar.close()
    run.finish(
        {"inputs": len(named), "separated": len(named) - len(rejects), "rejected": len(rejects)},
        written,
        audio_seconds=round(sum(one["seconds"] for one in facts.values()), 3),
        chunks_at_once=system.chunking.at_once,
        checkpoints=[model.origin for model in system.models],
        songs={track: source for source, track in tracks.items()},
        separated=facts,
        rejects=rejects,
    )
    return rejects


def _writes(output: str, template: str) -> tuple[str, ...]:
    """Patterns of what this run writes, and what the one before wrote that --output holds."""
    path = files.join(output, plans.PLAN)
    held = plans.read(files.read_bytes(path)) if files.exists(path) else None
    before = held["options"].get("name") if held and held["verb"] == "separate" else None
    known = dict.fromkeys([template, *([before] if isinstance(before, str) else [])])
    return (*WRITES, *(names.pattern(one, formats.NAMES) for one in known))


def _written(options: argparse.Namespace, stems: Sequence[str]) -> tuple[Form, list[str]]:
    """How stems are written, and which; BadUsage for what there is not."""
    form = Form.of(options.format, options.bits, options.clip, options.mp3_bitrate)
    if unknown := sorted({*options.stems} - {*stems}):
        raise BadUsage(f"--stems {','.join(unknown)}: these models give {', '.join(stems)}")
    return form, [stem for stem in stems if stem in options.stems or not options.stems]


def parser(argv: Sequence[str] = ()) -> Parser:
    """The command line."""
    found = Parser(
        prog="stemlode separate",
        usage="stemlode separate INPUT … --checkpoint DIR … [--output DIR] [options]",
        description="Split audio files into their sources, as 32-bit float WAV files of the "
        "input's length, rate and channels (more than two are mixed down to two); those of one net "
        "for one source, and those with --residual, sum to the input. Other formats round, and "
        "have no room above full scale.",
    )
    found.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="audio files of any format, folders of them, patterns such as 'music/**/*.flac', or - "
        "for a list of these on standard input, a line each (or with zero bytes between, as of "
        "find -print0)",
    )
    found.add_argument(
        "--checkpoint",
        metavar="DIR",
        action="append",
        help=f"{places.SAID}; again for a model of another source, or for the "
        "thesis' two U-Nets: vocals by one, accompaniment by the other",
    )
    found.add_argument(
        "--residual",
        action="store_true",
        help="also write what several models leave of the mixture, so that all sums to it",
    )
    found.add_argument(
        "--output",
        metavar="DIR",
        default="separated",
        help="folder to write (separated); a rerun resumes, and further songs come to those that "
        "are there",
    )
    found.add_argument(
        "--name",
        default=names.DEFAULT,
        metavar="TEMPLATE",
        help="of the files below --output ({track}/{stem}.{ext}): {track} is the input's name "
        "without its ending, made safe and, where two are alike, numbered; {ext} the format's "
        "ending",
    )
    found.add_argument(
        "--stems",
        type=_names,
        default=[],
        metavar="NAMES",
        help="write these alone, such as vocals, separated by commas",
    )
    found.add_argument(
        "--format", choices=formats.NAMES, default="wav", help="of the files to write (wav)"
    )
    found.add_argument(
        "--bits", choices=formats.BITS, help="of wav (float) and flac (24); float wav is exact"
    )
    found.add_argument(
        "--clip",
        choices=formats.CLIPS,
        default=formats.RESCALE,
        help="where a stem exceeds full scale and the format has no room: make all stems of the "
        "song softer (rescale), or clip it (clamp)",
    )
    found.add_argument(
        "--mp3-bitrate",
        type=int,
        metavar="KBIT",
        help="of --format mp3 (320): 32, 40, 48, …, as MP3 has them",
    )
    add_chunking(found)
    add_shifts(found)
    add_batch(found)
    found.add_argument(
        "--overwrite",
        action="store_true",
        help="start over: what the folder holds of other songs goes as well",
    )
    found.add_argument(
        "--device", help="cpu, cuda, cuda:1 or mps; by default an NVIDIA GPU where there is one"
    )
    return found


def _names(text: str) -> list[str]:
    """Names with commas between, as an argparse type."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError("names no stem")
    return found


def _seconds(source: str) -> float:
    """What a file's header says; 0 where it says nothing, or there is none."""
    try:
        stated = audio.probe(source).duration_s
    except (AudioError, OSError):
        return 0.0
    return stated if 0 < stated < LONGEST_STATED else 0.0
