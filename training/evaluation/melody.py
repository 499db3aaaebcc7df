"""`stemlode evaluate --f0 DIR`: how well the pitch of the voice is heard (thesis 5.4 to 5.8).

Networks of ours beside teachers of pitch and whatever others wrote, by mir_eval's melody scores;
of networks that separate also the SDR of their vocals, in mono at 22,050 Hz.
"""

import argparse
import hashlib
import io
import json
import math
import statistics
import sys
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from stemlode import files, runs
from stemlode.audio import AudioError
from stemlode.runs import BadUsage, Failed
from stemlode.shards.salience import THRESHOLD
from stemlode.tables import Row
from training.checkpoint import Checkpoint
from training.evaluation import annotations, references
from training.evaluation import melody_scores as scores
from training.evaluation.listeners import (
    MIXTURE,
    SEPARATED,
    VOCALS,
    Listener,
    Mono,
    Network,
    Tracker,
    Written,
    vocals_sdr,
)
from training.evaluation.references import Stems
from training.evaluation.scoring import part_name
from training.pitch import teachers
from training.separation.options import numbered

TABLE = "melody.parquet"
DEEP = "deep-salience"


def _field(name: str, kind: pa.DataType, sentence: str, *, required: bool = False) -> pa.Field:
    return pa.field(name, kind, not required, {"description": sentence})


SCHEMA = pa.schema(
    [
        _field("song", pa.string(), "The song's name in its layout.", required=True),
        _field("system", pa.string(), "Who is scored.", required=True),
        _field("hears", pa.string(), "mixture, vocals (clean) or separated.", required=True),
        _field("oa", pa.float64(), "Overall accuracy at a voicing threshold of 0.4."),
        _field("rpa", pa.float64(), "Raw pitch accuracy; null where nobody sings."),
        _field("threshold", pa.float64(), "The system's best one over all songs, by its mean OA."),
        _field("oa_best", pa.float64(), "Overall accuracy at that threshold."),
        _field("sdr_db", pa.float64(), "mir_eval's SDR of its vocals, mono; null if it has none."),
        _field("ours", pa.bool_(), "Whether it is a network of ours.", required=True),
        _field("pitch_teacher", pa.string(), "What a network learnt pitch from."),
    ]
)


def carry_out(options: argparse.Namespace, models: Sequence[Checkpoint]) -> int:
    """Run `stemlode evaluate --f0`; the exit status."""
    if not options.stems:
        raise BadUsage("stemlode evaluate --f0 needs --stems, songs whose vocals are known")
    named = list(zip(options.checkpoint, models, strict=True))
    listeners = _listeners(options, named)
    if not listeners:
        raise BadUsage("stemlode evaluate --f0 needs --checkpoint, --tracker or --f0-estimates")
    given = {"stems": files.absolute(options.stems), "f0": files.absolute(options.f0)}
    mapping = files.absolute(options.mapping) if options.mapping else None
    songs = references.in_folder(given["stems"], options.layout, "two", mapping)
    if options.split:
        songs = [song for song in songs if song.song.split == options.split]
    truths = annotations.beside(given["f0"], [song.name for song in songs])
    refuse_what_was_learnt(songs, listeners, models)
    inputs = numbered("checkpoint", options.checkpoint) | given
    inputs |= numbered("f0_estimates", options.f0_estimates)
    if options.weights:
        inputs["weights"] = files.absolute(options.weights)
    decisive = {"metrics": "melody", "layout": options.layout, "split": options.split}
    decisive |= {"tracker": sorted(options.tracker)}
    output = files.absolute(options.output)
    run = runs.start(
        "evaluate", output, decisive, inputs, overwrite=options.overwrite, writes=(TABLE,)
    )
    if run is None:
        print(f"evaluate: already complete in {output}")
        print(text(runs.record(output)["statistics"]))
        return 0
    rows: list[Row] = []
    rejects = {s.name: "has no annotation in --f0" for s in songs if s.name not in truths}
    for song in tqdm(songs, "evaluate", unit="song", disable=None):
        if song.name not in truths:
            continue
        try:
            found, faults = _scored(run, song, truths[song.name], listeners)
        except AudioError as error:
            found, faults = [], {song.name: str(error)}
        rows += found
        for name, why in faults.items():
            rejects[name] = why
            tqdm.write(runs.on_one_line(f"evaluate: left out {name}: {why}"), file=sys.stderr)
    if not rows:
        raise Failed(f"none of {len(songs)} songs can be evaluated; the lines above say why")
    rows = _at_thresholds(rows, listeners)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), buffer, compression="zstd")
    files.write_bytes(run.path(TABLE), buffer.getvalue())
    table = spread(rows)
    run.finish(
        {"songs": len({row["song"] for row in rows}), "rejected": len(rejects)},
        {TABLE: hashlib.sha256(buffer.getvalue()).hexdigest()},
        statistics=table,
        rejects=rejects,
        checkpoints=[model.origin for model in models],
    )
    files.remove(run.path(runs.PARTS))
    songs_scored = len({row["song"] for row in rows})
    print(f"evaluate: {songs_scored} songs, {len(rejects)} rejected, in {output}")
    print(text(table))
    return 0


def _listeners(
    options: argparse.Namespace, named: Sequence[tuple[str, Checkpoint]]
) -> list[Listener]:
    listeners: list[Listener] = []
    taken: dict[str, int] = {}
    for folder, model in named:
        recipe = model.recipe
        if not (recipe.hears or "vocals" in recipe.separated):
            raise BadUsage(f"--checkpoint {folder}: {recipe.name} neither hears nor gives vocals")
        taken[recipe.name] = taken.get(recipe.name, 0) + 1
        again = f" {taken[recipe.name]}" if taken[recipe.name] > 1 else ""
        listeners.append(Network(f"{recipe.name}{again}", model))
    separates = (m for _, m in named if m.recipe.separates and "vocals" in m.recipe.separated)
    by = next(separates, None)
    for name in dict.fromkeys(options.tracker):
        teacher = teachers.load(name, options.weights if name == DEEP else None, options.device)
        listeners += [Tracker(teacher, MIXTURE), Tracker(teacher, VOCALS)]
        if by is not None:
            listeners.append(Tracker(teacher, SEPARATED, by))
    for folder in options.f0_estimates:
        listeners.append(Written(files.absolute(folder)))
    return listeners


def refuse_what_was_learnt(
    songs: Sequence[Stems], listeners: Sequence[Listener], models: Sequence[Checkpoint]
) -> None:
    """BadUsage where MedleyDB would score what Deep Salience, which learnt from it, taught."""
    if not any(is_medleydb(song) for song in songs):
        return
    taught = [m.recipe.name for m in models if pitch_teacher(m) == DEEP]
    taught += [one.name for one in listeners if one.name == DEEP]
    if taught:
        raise BadUsage(
            f"--f0: {taught[0]} would be scored on MedleyDB, from which Deep Salience learnt; "
            "its scores there would say nothing"
        )


def is_medleydb(song: Stems) -> bool:
    """Whether a song's stems lie as MedleyDB's do."""
    uris = [part.uri for parts in song.song.parts.values() for part in parts]
    return bool(uris) and all("_STEMS/" in uri or "_MIX." in uri for uri in uris)


def pitch_teacher(model: Checkpoint) -> str | None:
    """From whom a network learnt pitch; None if from nobody, or it is not known."""
    known = [one["pitch"] for one in model.teachers if "pitch" in one]
    return str(known[-1]) if known else None


def _scored(
    run: runs.Run, song: Stems, annotation: str, listeners: Sequence[Listener]
) -> tuple[list[Row], dict[str, str]]:
    """A song's rows, with OA at every threshold, and who is left out and why; those of a killed run
    are read again. AudioError if the song itself cannot be used."""
    part = run.path(part_name(song.name))
    if files.exists(part):
        held = json.loads(files.read_bytes(part))
        return held["rows"], held["rejects"]
    known = song.load()
    truth = annotations.read(annotation, known.mixture.shape[1] / known.sample_rate)
    mono = Mono.of(song.name, known, truth)
    rows: list[Row] = []
    rejects: dict[str, str] = {}
    for one in listeners:
        try:
            heard = one.hear(mono)
        except AudioError as error:
            rejects[f"{song.name}, {one.name}"] = str(error)
            continue
        row: Row = {"song": song.name, "system": one.name, "hears": one.hears_from}
        row |= {"ours": isinstance(one, Network), "every_oa": None, "rpa": None, "sdr_db": None}
        row["pitch_teacher"] = pitch_teacher(one.trained) if isinstance(one, Network) else None
        if heard.f0 is not None:
            found = scores.accuracy(truth, heard.f0)
            row |= {"every_oa": found.oa, "rpa": None if math.isnan(found.rpa) else found.rpa}
        if heard.vocals is not None:
            row["sdr_db"] = vocals_sdr(mono, heard.vocals)
        rows.append(row)
    files.write_bytes(part, json.dumps({"rows": rows, "rejects": rejects}).encode())
    return rows, rejects


def _at_thresholds(rows: Sequence[Row], listeners: Sequence[Listener]) -> list[Row]:
    """Rows in the order of their systems, with OA at the fixed threshold and at the best one."""
    done: list[Row] = []
    for one in listeners:
        mine = [r for r in rows if (r["system"], r["hears"]) == (one.name, one.hears_from)]
        every = [row["every_oa"] for row in mine if row["every_oa"] is not None]
        best = scores.best_threshold(every) if every else None
        for row in mine:
            oa = row["every_oa"]
            kept = {name: row[name] for name in SCHEMA.names if name in row}
            kept |= {
                "threshold": best,
                "oa": None if oa is None else oa[scores.at(THRESHOLD)],
                "oa_best": None if oa is None or best is None else oa[scores.at(best)],
            }
            done.append(kept)
    return done


def spread(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """`SYSTEM on what it hears` → measure → mean and count over songs."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in dict.fromkeys(f"{row['system']} on {row['hears']}" for row in rows):
        mine = [row for row in rows if f"{row['system']} on {row['hears']}" == name]
        for measure in ("oa", "rpa", "threshold", "oa_best", "sdr_db"):
            values = [row[measure] for row in mine if row[measure] is not None]
            if values:
                mean = {"mean": statistics.fmean(values), "songs": len(values)}
                found.setdefault(name, {})[measure] = mean
    return found


def text(table: dict[str, dict[str, dict[str, float]]]) -> str:
    """The means as a table, as the thesis' table 5.1."""
    heads = {
        "oa": "OA at 0.4",
        "rpa": "RPA",
        "oa_best": "OA at best",
        "threshold": "best",
        "sdr_db": "SDR dB",
    }
    width = max((len(name) for name in table), default=0)
    lines = [f"{'':<{width}}  " + "  ".join(f"{head:>10}" for head in heads.values())]
    for name, measures in table.items():
        cells = [f"{measures[m]['mean']:10.3f}" if m in measures else f"{'–':>10}" for m in heads]
        lines.append(f"{name:<{width}}  " + "  ".join(cells))
    return "\n".join(lines)
