"""`stemlode export-stems CORPUS`: a corpus → folders of songs, as other trainers read them.

No Beam, no torch: one song after the other, a chunk in memory at a time. Folders that are whole
are found again by a rerun.
"""

import csv
import functools
import hashlib
import io
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from pipelines.export_stems import songs, writing
from pipelines.export_stems.songs import MIXTURE, SILENCE, SPLIT, Stretch
from stemlode import files, runs
from stemlode.arguments import Parser
from stemlode.audio import AudioError
from stemlode.layouts import naming
from stemlode.layouts.grouping import GROUPINGS
from stemlode.retry import patiently
from stemlode.runs import BadUsage, Failed

VERB = "export-stems"
MUSDB, MSST = "musdb", "msst"
SPLITS, SETUP = "splits.csv", "mus.yaml"
# layout → the folder of each split; musdb has no other for `valid`, whose songs SETUP names
FOLDERS = {
    MUSDB: {"train": "train", "valid": "train", "test": "test"},
    MSST: {"train": "train", "valid": "valid", "test": "test"},
}
WRITES = (
    r"(train|valid|test)/[^/]+/[a-z0-9][a-z0-9_-]*\.wav",
    re.escape(SPLITS),
    re.escape(SETUP),
)
COLUMNS = ("song", "split", "recording_id", "start_s", "duration_s", "silent_s", "gain", "peak")
USUAL_RATE = 44_100


def parser(argv: Sequence[str] = ()) -> Parser:
    """The command line."""
    found = Parser(
        prog="stemlode export-stems",
        usage="stemlode export-stems CORPUS --layout musdb|msst --output FOLDER [options]",
        description="Write the songs of a corpus as folders of WAV files, a file for each stem and "
        "mixture.wav, which other trainers read.\n\nmusdb: train/ and test/, with mus.yaml, which "
        "says which songs of train/ are for validation: what the package musdb reads. msst: "
        "train/, valid/ and test/: what Music-Source-Separation-Training, demucs (dset.wav) and "
        "open-unmix (trackfolder_fix) read.",
    )
    found.add_argument("corpus", nargs="?", metavar="CORPUS", help="written by `stemlode corpus`")
    found.add_argument("--layout", choices=tuple(FOLDERS), help="how the folders lie")
    found.add_argument("--output", metavar="FOLDER", help="folder to write; a rerun resumes")
    found.add_argument(
        "--sources",
        choices=tuple(GROUPINGS),
        default="own",
        help="what stems are summed into, as in `corpus`; own, the default: as they are, which "
        "must be the same in all songs",
    )
    found.add_argument(
        "--gaps",
        choices=(SILENCE, SPLIT),
        default=SILENCE,
        help="what becomes of times between a song's chunks that the corpus left out, or whose "
        "vocals it could not prove: silence in all stems, the default, so that times stay; or a "
        "folder of its own for each stretch",
    )
    found.add_argument("--overwrite", action="store_true", help="start over")
    return found


def main(argv: Sequence[str]) -> int:
    """Run `stemlode export-stems`; the exit status."""
    options = parser(argv).parse(argv)
    for name in ("corpus", "layout", "output"):
        if not getattr(options, name):
            said = "a CORPUS" if name == "corpus" else f"--{name}"
            raise BadUsage(f"stemlode {VERB} needs {said} (see --help)")
    corpus, output = files.absolute(options.corpus), files.absolute(options.output)
    held = songs.of_corpus(corpus)
    if not held.at:
        raise BadUsage(f"--corpus {corpus}: none of its songs has true stems")
    decisive = {"layout": options.layout, "sources": options.sources, "gaps": options.gaps}
    found, rejects = _chosen(held, options.sources, options.gaps)
    run = runs.start(
        VERB, output, decisive, {"corpus": corpus}, overwrite=options.overwrite, writes=WRITES
    )
    if run is None:
        print(f"{VERB}: already complete in {output}")
        return 0
    places = _places(found, options.layout)
    rows, outputs, damaged = _write(run, corpus, found, places)
    rejects |= damaged
    if not rows:
        raise Failed(f"none of {len(held.at):,} songs could be written; the lines above say why")
    outputs |= _tables(run, options.layout, rows, found)
    notes = _notes(rows, found, held)
    run.finish(
        {
            "songs": len({row["recording_id"] for row in rows}),
            "folders": len(rows),
            "hours": round(sum(row["duration_s"] for row in rows) / 3600, 6),
            "hours_silent": round(sum(row["silent_s"] for row in rows) / 3600, 6),
            "without_stems": held.others,
            "rejected": len(rejects),
        },
        outputs,
        rejects=rejects,
        notes=notes,
    )
    print(f"{VERB}: {len(rows):,} folders, {len(rejects):,} rejected, in {output}")
    for note in notes:
        print(runs.on_one_line(f"note: {note}"))
    return 0


def _chosen(held: songs.Songs, sources: str, gaps: str) -> tuple[list[Stretch], dict[str, str]]:
    found: list[Stretch] = []
    rejects: dict[str, str] = {}
    for one in held.stretches(sources, gaps):
        if isinstance(one, Stretch):
            found.append(one)
        else:
            reject(rejects, *one)
    return found, rejects


def _places(found: Sequence[Stretch], layout: str) -> list[str]:
    """The folder of each stretch, below the output."""
    names = naming.of_songs([one.name for one in found])
    return [f"{FOLDERS[layout][one.split]}/{name}" for one, name in zip(found, names, strict=True)]


def _write(
    run: runs.Run, corpus: str, found: Sequence[Stretch], places: Sequence[str]
) -> tuple[list[dict[str, Any]], dict[str, str], dict[str, str]]:
    """The rows of SPLITS, the files' hashes, and which songs could not be read and why."""
    rows: list[dict[str, Any]] = []
    outputs: dict[str, str] = {}
    rejects: dict[str, str] = {}
    seconds = sum(one.frames / one.rate for one in found)
    bar = tqdm(total=round(seconds), desc=VERB, unit="s", disable=None)
    for one, place in zip(found, places, strict=True):
        names = [f"{place}/{stem}.wav" for stem in (*one.sums, MIXTURE)]
        note = run.path(runs.PARTS, f"{place}.json")
        if not (files.exists(note) and all(files.exists(run.path(name)) for name in names)):
            work = functools.partial(writing.write, corpus, one, run.path(place), bar.update)
            try:
                peak = patiently(work, f"--output {run.output}")
            except AudioError as error:
                reject(rejects, one.name, one.recording_id, str(error))
                continue
            files.write_bytes(note, json.dumps(peak).encode())
        facts = (one.start_s, one.frames / one.rate, one.silent_s, one.gain)
        peak = json.loads(files.read_bytes(note))
        values = (place.rpartition("/")[2], one.split, one.recording_id, *facts, peak)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
        outputs |= {name: files.sha256(run.path(name)) for name in names}
    bar.close()
    return rows, outputs, rejects


def _tables(
    run: runs.Run, layout: str, rows: Sequence[dict[str, Any]], found: Sequence[Stretch]
) -> dict[str, str]:
    """Write SPLITS, and for musdb its setup; their hashes."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for row in rows:
        numbers = {name: round(row[name], 6) for name in COLUMNS[3:]}
        table.writerow(row | numbers)
    written = {SPLITS: text.getvalue().encode()}
    if layout == MUSDB:
        stems = sorted({stem for one in found for stem in one.sums})
        written[SETUP] = _setup(stems, [r["song"] for r in rows if r["split"] == "valid"])
    for name, data in written.items():
        files.write_bytes(run.path(name), data)
    files.remove(run.path(runs.PARTS))
    return {name: hashlib.sha256(data).hexdigest() for name, data in written.items()}


def _setup(stems: Sequence[str], valid: Sequence[str]) -> bytes:
    """What `musdb.DB(…, setup_file="mus.yaml")` reads; JSON is YAML."""
    every = dict.fromkeys(stems, 1)
    targets: dict[str, dict[str, int]] = {stem: {stem: 1} for stem in stems}
    if "accompaniment" not in stems:
        targets["accompaniment"] = {stem: 1 for stem in stems if stem != "vocals"}
    return runs.to_json(
        {
            "sample-url": "",
            "sources": {stem: f"{stem}.wav" for stem in stems},
            "mixture": f"{MIXTURE}.wav",
            "stem_ids": {MIXTURE: 0, **{stem: n for n, stem in enumerate(stems, 1)}},
            "targets": targets | {"linear_mixture": every},
            "validation_tracks": [*valid],
        }
    )


def _notes(
    rows: Sequence[dict[str, Any]], found: Sequence[Stretch], held: songs.Songs
) -> list[str]:
    notes = []
    if silent := [row for row in rows if row["silent_s"] > 0.001]:
        seconds = sum(row["silent_s"] for row in silent)
        notes.append(
            f"{len(silent):,} songs are silent for {seconds:,.1f} s in all, where the corpus has "
            f"no chunk with these stems ({SPLITS}: silent_s); --gaps split leaves that out"
        )
    if softer := sum(row["gain"] < 1 for row in rows):
        notes.append(
            f"{softer:,} songs are softer than in the corpus, to fit full scale ({SPLITS})"
        )
    if held.others:
        notes.append(
            f"{held.others:,} recordings without true stems (copies, voices alone, teachers' "
            "labels) were left out"
        )
    for rate in sorted({one.rate for one in found} - {USUAL_RATE}):
        notes.append(f"the files have {rate:,} Hz: say so where a trainer takes {USUAL_RATE:,} Hz")
    return notes


def reject(rejects: dict[str, str], name: str, recording_id: str, why: str) -> None:
    """Note why a song is left out, and say so."""
    rejects[f"{name} ({recording_id})" if name in rejects else name] = why
    tqdm.write(runs.on_one_line(f"{VERB}: left out {name}: {why}"), file=sys.stderr)
