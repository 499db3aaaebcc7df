"""What a report says of training, evaluation and separation runs."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import soundfile

from pipelines.pages import masks
from pipelines.pages.charts import Curves, Dots, curves, dots
from pipelines.pages.inputs import Folder, real
from pipelines.report.evaluation import scores
from pipelines.report.names import Names
from stemlode import files

CHARTED, LISTED = 24, 200  # songs of an evaluation
ROLES = {
    "mixture": "the mixture as estimate",
    "estimate": "the trained net",
    "oracle": "the best that its mask could do",
}
PREVIEW = re.compile(r"previews/best/(\d)/(mixture|estimate|reference)\.flac")
LINES = {"train": "loss", "valid": "valid_loss"}  # of the log
HEARD = ("mixture", "estimate", "reference")
MIXTURE_FIRST = ("mixture", "vocals", "accompaniment", "instrumental")


@dataclass(frozen=True)
class Training:
    """A training run: its curves and what was trained."""

    chart: Curves | None
    quality: Curves | None  # SDR on the valid split
    summary: str
    caption: str
    recipe: list[tuple[str, str]]
    skipped: int


@dataclass(frozen=True)
class Scored:
    """A song's scores in dB, in the order of the table's columns; None where there is none."""

    label: str
    values: list[float | None]
    gain: float | None


@dataclass(frozen=True)
class SourceScores:
    """The scores of one source, song by song."""

    source: str
    names: list[str]
    rows: list[Scored]
    songs: int
    means: list[float | None]
    gains: bool
    mean_gain: float | None
    chart: Dots | None
    legend: list[tuple[str, str]]
    left_out: int
    untold: int


@dataclass
class ShownSong:
    """A separated song: its files by what they hold."""

    name: str
    files: dict[str, str] = field(default_factory=dict)


def training(folder: Folder) -> Training:
    """The curves of `log.jsonl` and the recipe of a run of train."""
    log, skipped = folder.lines("log.jsonl")
    lines = {name: line(log, key) for name, key in LINES.items()}
    best = real(folder.record.get("best_step"))
    if best is None and lines["valid"]:
        best = min(lines["valid"], key=lambda point: point[1])[0]
    chart = curves(lines, best)
    quality = curves({"valid": line(log, "valid_sdr")}, best)
    if quality is not None:
        quality = replace(quality, y_title="SDR in dB")
    recipe = folder.record.get("recipe")
    facts = recipe if isinstance(recipe, dict) else {}
    name = facts.get("name") or folder.option("recipe") or "a model"
    steps = folder.count("steps") or (round(lines["train"][-1][0]) if lines["train"] else None)
    parts = [f"{name}: {steps:,} steps" if steps else str(name)]
    seconds = real(folder.record.get("training_seconds"))
    if seconds is not None:
        took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} minutes"
        parts.append(f"{took} on {folder.record.get('device', 'cpu')}")
    if folder.count("samples_train"):
        parts.append(f"{folder.count('samples_train'):,} samples")
    at_best = next((entry for entry in log if real(entry.get("step")) == best), {})
    if (ratio := real(at_best.get("valid_sdr"))) is not None:
        parts.append(f"SDR {ratio:.2f} dB on the valid split at the best step")
    paces = [found for entry in log if (found := real(entry.get("segments_per_s"))) is not None]
    if paces:
        parts.append(f"{sorted(paces)[len(paces) // 2]:.3g} segments a second")
    summary = f"{facts['summary']}. " if facts.get("summary") else ""
    caption = f"The circle marks the best step, {best:,.0f}." if chart and best is not None else ""
    lost = sum(_is_lost(entry.get(key)) for entry in log for key in LINES.values())
    if lost:
        caption += f" {lost:,} losses were no number (NaN) or without end, and are not drawn."
    shown = [(key, text(value)) for key, value in facts.items() if key not in ("name", "summary")]
    return Training(chart, quality, f"{summary}{', '.join(parts)}.", caption, shown, skipped)


def _is_lost(value: Any) -> bool:
    """A loss that was logged and cannot be drawn."""
    return isinstance(value, float) and not math.isfinite(value)


def line(log: Sequence[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    """(step, value) wherever a log has both."""
    return [
        (step, value)
        for entry in log
        if (step := real(entry.get("step"))) is not None
        and (value := real(entry.get(key))) is not None
    ]


def evaluation(folder: Folder, named: Callable[[str], str] = str) -> list[SourceScores]:
    """The scores of `songs.parquet`, a part for each source and separator, of songs by name."""
    columns = folder.columns("songs")
    roles = {role: f"usdr_{role}" for role in ROLES if f"usdr_{role}" in columns}
    if not roles:
        return []
    also = [name for name in ("system",) if name in columns]
    table = folder.table("songs", ["song", "source", *also, *roles.values()])
    by_source: dict[str, list[dict[str, Any]]] = {}
    rows = table.to_pylist() if table is not None else []
    alone = scores.alone(rows, list(roles.values()))
    for row in rows:
        if str(row["song"]) in alone:  # the mixture is the source itself: no score means anything
            row.update(dict.fromkeys(roles.values()))
        by_source.setdefault(scores.group(row), []).append(row | {"song": named(str(row["song"]))})
    order = sorted(by_source, key=lambda name: (not name.startswith("vocals"), name))
    return [_scores(name, by_source[name], roles) for name in order]


def songs(folder: Folder) -> list[ShownSong]:
    """The songs that a run of separate wrote, by the folders its audio lies in."""
    found: dict[str, ShownSong] = {}
    for name in folder.facts("outputs"):
        stem, _, suffix = name.rpartition(".")
        parts = stem.split("/")
        if suffix.lower() not in ("wav", "flac", "ogg", "opus", "mp3") or ".." in parts:
            continue
        song, label = "/".join(parts[:-1]), parts[-1]
        if not song:  # song_vocals.wav or song.vocals.wav beside one another
            place = max(label.rfind("."), label.rfind("_"))
            song, label = label[: max(0, place)] or label, label[place + 1 :]
        found.setdefault(song, ShownSong(song)).files[label] = files.join(folder.path, name)
    return [found[name] for name in sorted(found)]


def previews(folder: Folder, named: Names) -> list[ShownSong]:
    """What the best net of a run of train made of songs that it never heard; their files' titles
    are the songs' names, since a later version."""
    found: dict[str, ShownSong] = {}
    for name in sorted(folder.facts("outputs")):
        if parts := PREVIEW.fullmatch(name):
            song = found.setdefault(parts[1], ShownSong(f"valid song {parts[1]}"))
            song.files[parts[2]] = files.join(folder.path, name)
    for song in found.values():
        song.files = {label: song.files[label] for label in HEARD if label in song.files}
        song.name = named(_title(next(iter(song.files.values()), ""))) or song.name
    return list(found.values())


def _title(path: str) -> str:
    """What a preview's file is called; empty where it is not, or cannot be read."""
    try:
        with files.open_input(path) as file, soundfile.SoundFile(file) as source:
            return str(source.title or "")
    except (OSError, ValueError, soundfile.LibsndfileError):
        return ""


def transform(folder: Folder) -> tuple[int, int]:
    """Window and hop, in samples, of the STFT of a training's net; those of `masks` where its
    recipe does not say them."""
    facts = folder.facts("recipe")
    n_fft, hop = (real(facts.get(name)) for name in ("n_fft", "hop_length"))
    if n_fft is None or hop is None or not 2 <= n_fft <= masks.MOST_N_FFT or not 1 <= hop <= n_fft:
        return masks.N_FFT, masks.HOP_LENGTH
    return int(n_fft), int(hop)


def text(value: Any) -> str:
    """A JSON value on one line."""
    if isinstance(value, list):
        return " ".join(text(item) for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def _scores(source: str, rows: list[dict[str, Any]], roles: dict[str, str]) -> SourceScores:
    order = sorted(rows, key=lambda row: str(row["song"]))
    values = [{role: real(row[column]) for role, column in roles.items()} for row in order]
    listed = [
        Scored(str(row["song"]), list(found.values()), _gain(found))
        for row, found in zip(order, values, strict=True)
    ]
    gains = [row.gain for row in listed if row.gain is not None]
    drawn = [
        (row.label, {role: value for role, value in found.items() if value is not None})
        for row, found in zip(listed, values, strict=True)
    ]
    return SourceScores(
        source=source[:60],
        names=list(roles),
        rows=listed[:LISTED],
        songs=len(listed),
        means=[_mean([row.values[i] for row in listed]) for i in range(len(roles))],
        gains="mixture" in roles and "estimate" in roles,
        mean_gain=_mean(gains),
        chart=dots(drawn[:CHARTED]),
        legend=[(role, ROLES[role]) for role in roles],
        left_out=max(0, len(listed) - CHARTED),
        untold=max(0, len(listed) - LISTED),
    )


def _gain(found: dict[str, float | None]) -> float | None:
    mixture, estimate = found.get("mixture"), found.get("estimate")
    return None if mixture is None or estimate is None else estimate - mixture


def _mean(values: list[float | None] | list[float]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def mixture_of(folder: Folder, song: ShownSong) -> str | None:
    """Where the audio lay that a song was separated from, as far as the run says."""
    path = folder.facts("songs").get(song.name)
    return path if isinstance(path, str) else None


def title_of(folder: Folder, song: ShownSong) -> str:
    """A separated song's name: the end of the path it came from, for many are called `mixture`."""
    path = mixture_of(folder, song)
    return " / ".join(path.split("/")[-2:]) if path else song.name
