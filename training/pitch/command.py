"""`stemlode pitch SONG…`: audio files → the pitch that is sung in them."""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from stemlode import files, runs
from stemlode.arguments import Parser
from stemlode.audio import AudioError
from stemlode.runs import BadUsage, Failed
from stemlode.shards.salience import THRESHOLD
from training import console
from training.pitch import listening, networks, song, teachers
from training.pitch.song import Heard
from training.pitch.teachers import PitchTeacher
from training.separation import songs
from training.separation.held import Held

PAGE = "index.html"
WRITES = (r"[^/]+/(f0\.csv|f0\.jams|f0s\.tsv|notes\.mid|salience\.png|listen\.flac)", PAGE)
VOICES = ("one", "many")


def main(argv: Sequence[str]) -> int:
    """Run `stemlode pitch`; the exit status, 1 where an input could not be heard."""
    options = parser().parse(argv)
    if not options.output:
        raise BadUsage("stemlode pitch needs --output (see --help)")
    many = options.voices == "many"
    output = files.absolute(options.output)
    asked, without = songs.named(options.inputs, output)
    if options.checkpoint and (options.teacher or options.weights):
        raise BadUsage("--checkpoint hears by itself; leave out --teacher and --weights")
    if options.checkpoint:
        teacher = networks.load(options.checkpoint, options.device)
    else:
        teacher = teachers.load(options.teacher or teachers.SWIFT, options.weights, options.device)
    if many and not teacher.polyphonic:
        raise BadUsage(
            f"--voices many: {teacher.name} follows one voice; it needs --teacher "
            f"{teachers.DEEP} and its --weights"
        )
    held = Held(output) if options.overwrite else Held.of(output)
    inputs = asked if options.overwrite else songs.with_held("pitch", output, asked)
    names = held.named(inputs, [PAGE])
    wanted = (*song.FILES, *((song.RAGGED,) if many else ()))
    decisive = {"inputs": inputs, "voices": options.voices, "teacher": teacher.name}
    decisive["teacher_sha256"] = teacher.sha256
    run = songs.claimed(
        *("pitch", output, decisive, {}),
        overwrite=options.overwrite, writes=WRITES,
        again=any(_known(output, source, names[source], wanted) is None for source in asked),
    )  # fmt: skip
    for path, why in without.items():
        print(runs.on_one_line(f"error: {path}: {why}"), file=sys.stderr)
    failed = [*without]
    if run is None:
        print(f"pitch: already complete in {output}")
    else:
        before = {source: why for source, why in held.rejects.items() if source not in asked}
        rejects = _hear(run, names, before, teacher, many=many)
        failed += [source for source in asked if source in rejects]
    if failed:
        raise Failed(
            f"{len(failed)} of {len(asked) + len(without)} inputs could not be heard; the same "
            "command tries them again"
        )
    return 0


def _hear(
    run: runs.Run,
    names: Mapping[str, str],
    before: Mapping[str, str],
    teacher: PitchTeacher,
    *,
    many: bool,
) -> dict[str, str]:
    """Hear what is left of the songs, whose names are given, but for what could not be used
    `before` and is not asked for now; what cannot be used, and why."""
    wanted = (*song.FILES, *((song.RAGGED,) if many else ()))
    rejects: dict[str, str] = {}
    written: dict[str, str] = {}
    facts: dict[str, list[tuple[str, str]]] = {}
    seconds = 0.0
    bar = console.audio_bar("pitch")
    for source, name in names.items():
        if source in before:
            rejects[source] = before[source]
            continue
        title = source.rstrip("/").rpartition("/")[2]
        try:
            heard = _known(run.output, source, name, wanted)
            if heard is None:
                to = run.path(name)
                heard = song.write(source, to, title, teacher, many=many, done=bar.update)
                _note(run, source, name, heard)
        except AudioError as error:
            rejects[source] = str(error)
            bar.write(runs.on_one_line(f"error: {source}: {error}"), file=sys.stderr)
            continue
        except OSError as error:
            why = f"{runs.reason(error)}; run again to resume"
            raise Failed(f"--output {run.output}: {source}: {why}") from error
        share = heard.voiced_share
        if not share:
            line = f"note: {source}: no voice is heard in it: {_why(heard)}"
            bar.write(runs.on_one_line(line), file=sys.stderr)
        seconds += heard.duration_s
        facts[name] = [
            ("Length", f"{heard.duration_s:.1f} s"),
            ("Voiced", f"{share:.0%} of the frames"),
            ("Notes", f"{heard.notes:,}"),
        ]
        written |= {f"{name}/{file}": files.sha256(run.path(name, file)) for file in wanted}
    bar.close()
    known = {name: _noted(run.output, name) for name in facts}
    shown = [
        (name, source.rstrip("/").rpartition("/")[2], facts[name])
        for source, name in names.items()
        if name in facts
    ]
    files.write_bytes(run.path(PAGE), listening.page(shown, teacher.name))
    written[PAGE] = files.sha256(run.path(PAGE))
    if not rejects:  # which are worth another try, and what was heard is kept until then
        files.remove(run.path(runs.PARTS))
    run.finish(
        {"inputs": len(names), "heard": len(facts), "rejected": len(rejects)},
        written,
        audio_seconds=round(seconds, 3),
        songs={name: source for source, name in names.items()},
        rejects=rejects,
        heard=known,
    )
    print(runs.on_one_line(run.path(PAGE)))
    return rejects


def _why(heard: Heard) -> str:
    """Why all frames of a song are unvoiced: a net that has learnt little says a little of all."""
    if heard.likeliest is None:
        return "all its frames are unvoiced"
    return f"its likeliest pitch has {heard.likeliest:.2f}, and {THRESHOLD:g} counts as voiced"


def _note(run: runs.Run, source: str, name: str, heard: Heard) -> None:
    """Say that a song's files are whole, for a rerun."""
    facts = {"file": files.stamps(source), "heard": dataclasses.asdict(heard)}
    files.write_bytes(run.path(runs.PARTS, f"{name}.json"), runs.to_json(facts))


def _known(output: str, source: str, name: str, wanted: Sequence[str]) -> Heard | None:
    """What was heard in a song before; None where nothing was, or the file is another since."""
    facts = _noted(output, name)
    if facts is None or not all(files.exists(files.join(output, name, file)) for file in wanted):
        return None
    now = json.loads(json.dumps(files.stamps(source)))
    return Heard(**facts["heard"]) if now in ([], facts["file"]) else None


def _noted(output: str, name: str) -> dict[str, Any] | None:
    """What `_note` left of a song, or the record of what the folder held before."""
    note = files.join(output, runs.PARTS, f"{name}.json")
    record = files.join(output, runs.RECORD)
    if files.exists(note):
        return json.loads(files.read_bytes(note))
    with contextlib.suppress(ValueError, KeyError, TypeError):  # it has none of it, or is damaged
        return json.loads(files.read_bytes(record))["heard"][name] if files.exists(record) else None
    return None


def parser(argv: Sequence[str] = ()) -> Parser:
    """The command line."""
    found = Parser(
        prog="stemlode pitch",
        usage="stemlode pitch SONG … --output DIR [options]",
        description="Hear the pitch of the voice in audio files. For each: f0.csv (time_s, f0_hz, "
        "confidence; unvoiced frames keep their pitch as a negative value), f0.jams, notes.mid, "
        "salience.png and listen.flac, the song on the left and its pitch on the right; and one "
        "page, index.html, with all of it.",
    )
    found.add_argument(
        "inputs",
        metavar="SONG",
        nargs="+",
        help="audio files of any format, folders of them, or patterns such as '*.flac'",
    )
    found.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="a network of ours that hears pitch in mixtures, in place of a teacher, trained "
        "as joint-…: its folder, or another of its names (docs/models.md)",
    )
    found.add_argument(
        "--teacher",
        choices=teachers.NAMES,
        help="who hears the pitch, in the file as it is: swift-f0 (the default) follows one voice; "
        "deep-salience hears several and needs --weights",
    )
    found.add_argument(
        "--weights", metavar="FILE", help="Deep Salience's Keras file, deepsalience_multif0.h5"
    )
    found.add_argument(
        "--voices",
        choices=VOICES,
        default=VOICES[0],
        help="many: also f0s.tsv, all pitches of each frame that reach 0.4",
    )
    found.add_argument(
        "--output",
        metavar="DIR",
        help="folder to write; a rerun resumes, and further songs come to those that are there",
    )
    found.add_argument("--overwrite", action="store_true", help="start over")
    found.add_argument(
        "--device", help="what a net of torch runs on; by default a GPU where there is one"
    )
    return found
