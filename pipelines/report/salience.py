"""What `stemlode salience` heard beside a corpus, and the thesis' figure 5.2: patches of a mixture,
of its vocals and of their salience, one of a solo voice and, where it is known, one of several.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from pipelines.pages import media
from pipelines.pages.inputs import Folder, real
from pipelines.pages.media import Clip
from stemlode import audio
from stemlode.audio import mixdown
from stemlode.shards import reading, salience
from stemlode.shards.salience import HOP_LENGTH, SAMPLE_RATE

TABLE = "salience"
COLUMNS = (
    *("sample_id", "song_id", "shard", "offset", "size", "first_sample", "frames", "voiced"),
    *("targets", "teacher", "several_voices"),
)
NUMBERS = ("offset", "size", "first_sample", "frames", "voiced")
PLACES = ["sample_id", "shard", "offset", "size", "sample_rate", "scale"]
PATCH_FRAMES = 512  # of a picture: 5.9 s
SOURCES = ("mixture", "vocals")
UNREADABLE = (OSError, ValueError, KeyError, pa.ArrowException, soundfile.LibsndfileError)


@dataclass(frozen=True)
class Patch:
    """Input and targets of some seconds of a song."""

    label: str  # how many voices it has, as far as it is known
    clips: list[Clip]


@dataclass(frozen=True)
class Heard:
    """The salience of a corpus, for the page."""

    teacher: str
    targets: str
    samples: int
    songs: int
    hours: float  # of frames
    voiced: float  # how much of them
    several: int | None  # songs in which several voices sound; None where nobody asked
    patches: list[Patch]


def heard(folder: Folder, corpora: Sequence[Folder]) -> Heard | None:
    """What a run of salience holds; patches where its corpus, as it was, is among those given."""
    table = folder.table(TABLE, COLUMNS)
    every = table.to_pylist() if table is not None else []
    rows = [row for row in every if all(real(row[name]) is not None for name in NUMBERS)]
    if not rows:
        return None
    frames = sum(row["frames"] for row in rows)
    asked = [row for row in rows if row["several_voices"] is not None]
    several = {row["song_id"] for row in asked if row["several_voices"]}
    made_of = folder.facts("inputs").get("corpus")
    corpus = next((one for one in corpora if one.fingerprint == made_of), None)
    return Heard(
        teacher=rows[0]["teacher"],
        targets=rows[0]["targets"],
        samples=len(rows),
        songs=len({row["song_id"] for row in rows}),
        hours=frames * HOP_LENGTH / SAMPLE_RATE / 3600,
        voiced=sum(row["voiced"] * row["frames"] for row in rows) / max(1, frames),
        several=len(several) if asked else None,
        patches=[] if corpus is None else _patches(folder, corpus, rows),
    )


def _patches(folder: Folder, corpus: Folder, rows: list[dict[str, Any]]) -> list[Patch]:
    """Of the samples in which most is sung, the first that can be read."""
    index = corpus.table("index", PLACES)
    places = {row["sample_id"]: row for row in index.to_pylist()} if index is not None else {}
    kinds = {"A solo voice": False, "Several voices": True}
    if all(row["several_voices"] is None for row in rows):
        kinds = {"": False}
    found = []
    for label, several in kinds.items():
        mine = [row for row in rows if bool(row["several_voices"]) == several]
        for row in sorted(mine, key=lambda row: (-row["voiced"], row["sample_id"]))[:3]:
            try:
                clips = _clips(folder.path, corpus.path, row, places[row["sample_id"]])
            except UNREADABLE:
                continue
            found.append(Patch(label, clips))
            break
    return found


def _clips(folder: str, corpus: str, row: dict[str, Any], place: dict[str, Any]) -> list[Clip]:
    """Mixture, vocals and salience of one patch, a column of each at the same moment."""
    data = reading.contents(folder, row, [salience.FILE])[salience.FILE]
    values, _ = salience.decoded(data)
    if values.shape[1] < 2 or row["first_sample"] < 0:
        raise ValueError("nothing to draw")
    files = reading.contents(corpus, place, [f"{name}.flac" for name in SOURCES])
    first, frames = row["first_sample"], min(PATCH_FRAMES, values.shape[1])
    magnitudes = []
    for name in SOURCES:
        samples, rate = soundfile.read(
            io.BytesIO(files[f"{name}.flac"]), dtype="float32", always_2d=True
        )
        mono = mixdown.mean_of(samples)[None] * np.float32(place["scale"])
        low = audio.resample(mono, rate, SAMPLE_RATE)[0][first : first + frames * HOP_LENGTH]
        magnitudes.append(np.abs(media.stft(low))[:, :frames])
    loudest = float(magnitudes[0].max(initial=0.0)) or 1.0
    drawn = [media.picture(one, loudest) for one in magnitudes]
    drawn.append(media.shades(values[:, :frames] / salience.LEVELS))
    # `media.picture` shows the share of the bins that is HIGHEST_HZ at its own rate
    hertz = media.HIGHEST_HZ * SAMPLE_RATE / media.RATE
    notes = salience.LOWEST_HZ * 2 ** (salience.ROWS / salience.ROWS_PER_OCTAVE)
    linear = (f"{hertz:,.0f} Hz", f"{hertz / 2:,.0f} Hz", "0 Hz")
    scales = (linear, linear, (f"{notes:,.0f} Hz", f"{salience.LOWEST_HZ:.0f} Hz"))
    seconds = magnitudes[0].shape[1] * HOP_LENGTH / SAMPLE_RATE
    return [
        Clip(label, "", picture, scale, first / SAMPLE_RATE, seconds)
        for label, picture, scale in zip((*SOURCES, "salience"), drawn, scales, strict=True)
    ]
