"""Small run folders of every verb, written the way the verbs write them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stemlode import audio, files, runs, schemas
from stemlode.ids import digest

RATE = 16_000
REASONS = {
    "kept": "0.08 ≤ difference < 0.75",
    "too_similar": "difference below 0.08",
    "too_different": "difference 0.75 or more",
    "swapped": "asymmetry −0.4: the instrumental holds more",
    "unreadable": "original: no such file",
}


def start(verb: str, folder: Path, options: Mapping[str, Any], **inputs: Path) -> runs.Run:
    """A new run that reads some paths."""
    run = runs.start(verb, str(folder), dict(options), {k: str(p) for k, p in inputs.items()})
    assert run is not None
    return run


def finish(run: runs.Run, counts: Mapping[str, Any], **facts: Any) -> Path:
    """Finish a run with everything in its folder as its outputs."""
    names = [str(Path(p).relative_to(run.output)) for p in files.list_files(run.output)]
    outputs = {n: files.sha256(run.path(n)) for n in names if n != runs.PLAN}
    run.finish(dict(counts), outputs, **facts)
    return Path(run.output)


def table(
    run: runs.Run, name: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema | None
) -> None:
    """A table in one part."""
    path = Path(run.path(f"{name}-00000-of-00001.parquet"))
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema), path)


def track(artist: str, title: str, uri: str | None = None, **more: Any) -> dict[str, Any]:
    """A catalogue track."""
    return {
        "track_id": digest(artist, title),
        "artist_id": digest(artist),
        "artist": artist,
        "title": title,
        "duration_s": 4.0,
        "audio_uri": uri,
        **more,
    }


def pair(
    title: str,
    decision: str = "kept",
    difference: float | None = 0.4,
    *,
    artist: str = "The Examples",
    mix: str | None = None,
    instrumental: str | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """A scored pair."""
    one = track(artist, title, mix)
    other = track(artist, f"{title} (Instrumental)", instrumental)
    return {
        "pair_id": digest(one["track_id"], other["track_id"]),
        "song_id": digest(title),
        "mix_track_id": one["track_id"],
        "instrumental_track_id": other["track_id"],
        "artist_id": one["artist_id"],
        "fuzzy_title": title.lower(),
        "duration_difference_s": 0.0,
        "marker": "instrumental",
        "rule": "thesis",
        "mix_audio_uri": mix,
        "instrumental_audio_uri": instrumental,
        "mix": one,
        "instrumental": other,
        "difference": difference,
        "offset_s": None if difference is None else 0.05,
        "gain_db": None if difference is None else -1.5,
        "polarity": None if difference is None else 1,
        "decision": decision,
        "reason": REASONS.get(decision, decision) if reason is None else reason,
    }


def reject(key: str, error: str = "unreadable", message: str = "no such file") -> dict[str, str]:
    """A row of rejects."""
    return {"stage": "prune", "key": key, "error": error, "message": message, "record": "{}"}


def match_run(folder: Path, pairs: Sequence[Mapping[str, Any]], tracks: int) -> Path:
    """A finished run of match."""
    run = start("match", folder, {"rule": "thesis"})
    table(
        run,
        "candidates",
        [{k: p[k] for k in schemas.CANDIDATE.names} for p in pairs],
        schemas.CANDIDATE,
    )
    table(run, "rejects", [], schemas.REJECT)
    return finish(run, {"tracks": tracks, "candidates": len(pairs), "rejects": 0})


def prune_run(
    folder: Path,
    candidates: Path,
    pairs: Sequence[Mapping[str, Any]],
    rejects: Sequence[Mapping[str, str]] = (),
) -> Path:
    """A finished run of prune."""
    options = {"d_min": 0.08, "d_max": 0.75}
    run = start("prune", folder, options, candidates=candidates)
    table(run, "pairs", pairs, schemas.SCORED_PAIR)
    table(run, "rejects", rejects, schemas.REJECT)
    decisions = [p["decision"] for p in pairs]
    return finish(run, {d: decisions.count(d) for d in sorted(set(decisions))})


def corpus_run(folder: Path, pairs: Path, kept: int, samples: Mapping[str, int]) -> Path:
    """A finished run of corpus: 12 s samples by split, two songs, two licences."""
    run = start("corpus", folder, {"seconds": 12.0}, pairs=pairs)
    rows = [
        {
            "sample_id": f"{split}{i:04d}",
            "song_id": digest(split, str(i % 2)),
            "split_group": split,
            "split": split,
            "shard": f"{split}/{split}-00000.tar",
            "offset": 0,
            "size": 512,
            "kind": "pair",
            "sources": ["mixture", "accompaniment"],
            "start_s": 12.0 * i,
            "duration_s": 12.0,
            "sample_rate": 44100,
            "channels": 2,
            "scale": 1.0,
            "licence": "CC BY 4.0" if i % 3 else None,
            "sha256": {"json": "00"},
        }
        for split, number in samples.items()
        for i in range(number)
    ]
    table(run, "index", rows, schemas.INDEX)
    table(run, "rejects", [], schemas.REJECT)
    counts = {"pairs": kept, "multitracks": 0, "recordings": kept, "samples": len(rows)}
    return finish(run, counts | {f"samples_{split}": n for split, n in samples.items()})


def train_run(folder: Path, corpus: Path, log: Sequence[Mapping[str, Any]]) -> Path:
    """A finished run of train."""
    run = start("train", folder, {"recipe": "unet-vocals-small"}, corpus=corpus)
    text = "".join(json.dumps(dict(entry)) + "\n" for entry in log)
    Path(run.path("log.jsonl")).write_text(text)
    recipe = {"name": "unet-vocals-small", "family": "unet", "channels": [8, 16], "n_fft": 1024}
    return finish(run, {"steps": log[-1]["step"]}, recipe=recipe, training_seconds=90.0)


def tone(path: Path, *frequencies: float, seconds: float = 4.0) -> str:
    """A file of a few sine waves; its path."""
    time = np.arange(round(seconds * RATE)) / RATE
    sound = sum(np.sin(2 * np.pi * f * time) for f in frequencies) / (2 * len(frequencies))
    audio.write(str(path), np.asarray(sound, np.float32), RATE)
    return str(path)
