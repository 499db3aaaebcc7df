"""The demo's catalogue: a thousand tracks with messy metadata, and audio for those that match.

Every pair that the thesis' rule finds is listed in `pairs`; all other rows are here to be
refused, each for a reason that real catalogues give. Everything is drawn from one seed: the same
seed gives the same rows and the same files.
"""

import importlib.util
import io
import itertools
import math
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import Generator
from scipy.signal import lfilter
from tqdm import tqdm

from pipelines.demo import words
from pipelines.demo.instruments import SAMPLE_RATE, Frames
from pipelines.demo.music import render_song
from pipelines.demo.pairs import (
    ACCOMPANIMENT,
    MIXTURE,
    PAIRS,
    TRAPS,
    Copy,
    DemoPair,
    Print,
    invented,
)
from stemlode import audio, files, runs, schemas
from stemlode.runs import Failed
from stemlode.tables import Row

TRACKS, STEMS = "tracks.parquet", "stems"
ROWS = 1000
INVENTED = 30  # pairs beside those of `pairs`
SONG_S = (24.1, 25.6)
HELD_OUT = ("brass-lantern", "slow-comet", "winter-parade")
HELD_OUT_S = 24.0
NEW = (f"new/{HELD_OUT[0]}.flac", "audio/falcon-69-mixture.flac")  # songs to separate
SOUNDS = ("mixture", "vocals", "accompaniment")
OURS = "CC0-1.0"

CLIP = "data/The Easton Ellises - Falcon 69.stem.mp4"
CLIP_LICENCE = "CC-BY-NC-SA-3.0"
CLIP_STREAMS = ("mixture", "drums", "bass", "other", "vocals")
CLIP_TRIM_S = 0.2  # at either end, where the encoder's padding makes the stems miss the mixture
CLIP_PAIR = DemoPair(
    (Print("The Easton Ellises", "Falcon 69", MIXTURE),),
    Print("The Easton Ellises", "Falcon 69 (Instrumental)", ACCOMPANIMENT),
)


@dataclass(frozen=True)
class SongFiles:
    """A song and the files to make of it, by their path below the catalogue's folder."""

    seed: int
    duration_s: float
    copies: tuple[tuple[str, Copy], ...]


def build(folder: str, seed: int = 0, processes: int = 2) -> bool:
    """Write the catalogue, its audio and the held-out stems as a run folder; resumes.

    Below `folder`: `tracks.parquet` (columns of `schemas.TRACK`), `audio/`, and for each held-out
    song `stems/<song>/{mixture,vocals,accompaniment}.flac`; one of their mixtures also in `new/`.
    False where it was complete already.
    """
    folder = files.absolute(folder)
    run = runs.start("demo catalogue", folder, {"seed": seed}, {})
    if run is None:
        return False
    pairs, songs = plan_songs(seed)
    clip = clip_path()
    write_songs(folder, songs, processes)
    if clip is not None:
        pairs += [write_clip(clip, folder)]
    files.write_bytes(run.path("audio/damaged.flac"), garbage(seed))
    rows = catalogue_rows(np.random.default_rng([seed, 10]), pairs)
    for row in rows:
        if row["audio_uri"] is not None:
            row["audio_uri"] = files.join(folder, row["audio_uri"])
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, columns()), table)
    files.write_bytes(run.path(TRACKS), table.getvalue())
    files.remove_temporaries(folder)
    outputs = {path: files.sha256(path) for path in files.list_files(folder)}
    below = {str(Path(path).relative_to(folder)): sha256 for path, sha256 in outputs.items()}
    heard = sum(path.startswith("audio/") for path in below)
    counts = {"tracks": len(rows), "audio_files": heard, "held_out_songs": len(HELD_OUT)}
    run.finish(counts, {path: below[path] for path in below if path != runs.PLAN})
    return True


def columns() -> pa.Schema:
    """`schemas.TRACK` as a careless supplier fills it: anything may be null, a column more."""
    fields = [field.with_nullable(True) for field in schemas.TRACK if field.name != "extra"]
    return pa.schema([*fields, pa.field("popularity", pa.int32())])


# Songs and their files


@dataclass(frozen=True)
class PairFiles:
    """A pair with its tracks' paths (None for none), durations and licence."""

    pair: DemoPair
    tracks: tuple[tuple[Print, str | None, float], ...]  # the instrumental last
    licence: str


def plan_songs(seed: int) -> tuple[list[PairFiles], list[SongFiles]]:
    """What to render, and what the catalogue will say of it."""
    rng = np.random.default_rng([seed, 11])
    pairs, songs = [], []
    for number, pair in enumerate((*PAIRS, *TRAPS, *invented(rng, INVENTED))):
        duration_s = round(float(rng.uniform(*SONG_S)), 2)
        tracks, copies = [], {}
        for printed in (*pair.originals, pair.instrumental):
            path = path_of(number, printed.copy)
            tracks.append((printed, path, duration_s + printed.copy.shift_s))
            if path is not None and printed.copy.sound in SOUNDS:
                copies[path] = printed.copy
        unrelated = {
            path: copies.pop(path)
            for path in [path_of(number, pair.instrumental.copy)]
            if pair.unrelated and path is not None
        }
        pairs.append(PairFiles(pair, tuple(tracks), OURS))
        for song_seed, wanted in ((number, copies), (500 + number, unrelated)):
            if wanted:
                songs.append(SongFiles(1000 * seed + song_seed, duration_s, (*wanted.items(),)))
    for number, name in enumerate(HELD_OUT):
        paths = tuple((f"{STEMS}/{name}/{sound}.flac", Copy(sound)) for sound in SOUNDS)
        if number == 0:
            paths += ((NEW[0], MIXTURE),)
        songs.append(SongFiles(1000 * seed + 900 + number, HELD_OUT_S, paths))
    return pairs, songs


def path_of(number: int, copy: Copy) -> str | None:
    """Where a copy lies; equal copies of a song share a file."""
    if copy.sound == "none":
        return None
    if copy.sound == "garbage":
        return "audio/damaged.flac"
    what = (
        copy.sound
        + ("-remaster" if copy.dull else "")
        + (f"{copy.gain_db:+g}dB" * bool(copy.gain_db))
    )
    return f"audio/{number:02d}-{what}{copy.suffix}"


def write_songs(folder: str, songs: list[SongFiles], processes: int) -> None:
    """Write all songs in processes of their own, since rendering is Python's work."""
    ignore_interrupts = (signal.SIGINT, signal.SIG_IGN)  # they are for this process to handle
    pool = ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=signal.signal, initargs=ignore_interrupts
    )
    try:
        done = pool.map(write_song, [folder] * len(songs), songs)
        for _ in tqdm(done, "demo", total=len(songs), unit="song", disable=None):
            pass
    except BrokenProcessPool as error:
        raise Failed("demo: a process that composes was killed; run the demo again") from error
    finally:
        pool.shutdown(cancel_futures=True)


def write_song(folder: str, song: SongFiles) -> None:
    """Render a song and write those of its files that are not there yet."""
    missing = [(path, copy) for path, copy in song.copies if not Path(folder, path).exists()]
    if not missing:
        return
    stems = render_song(song.seed, song.duration_s)
    accompaniment = stems["drums"] + stems["bass"] + stems["chords"]
    sounds = {
        "vocals": stems["vocals"],
        "accompaniment": accompaniment,
        "mixture": accompaniment + stems["vocals"],
    }
    for path, copy in missing:
        audio.write(str(Path(folder, path)), transform(sounds[copy.sound], copy), copy.sample_rate)


def transform(samples: Frames, copy: Copy) -> Frames:
    """What was done to a copy: [2, frames] at 44.1 kHz → [2, frames'] at the copy's rate."""
    if copy.dull:
        samples = lfilter([0.75], [1, -0.25], samples).astype(np.float32)
    gain = min(10 ** (copy.gain_db / 20), 0.999 / max(float(np.abs(samples).max()), 1e-9))
    samples = samples * np.float32(-gain if copy.inverted else gain)
    shift = round(copy.shift_s * SAMPLE_RATE)
    samples = np.pad(samples, ((0, 0), (shift, 0))) if shift > 0 else samples[:, -shift:]
    return audio.resample(samples, SAMPLE_RATE, copy.sample_rate)


def garbage(seed: int) -> bytes:
    """A file that says FLAC and is not."""
    return b"fLaC" + np.random.default_rng([seed, 12]).bytes(50_000)


def clip_path() -> str | None:
    """The real stems clip inside the stempeg package, whose import would need ffmpeg."""
    found = importlib.util.find_spec("stempeg")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / CLIP
    return str(path) if path.is_file() else None


def write_clip(path: str, folder: str) -> PairFiles:
    """The clip's mixture, and the sum of its stems without vocals, as a pair."""
    streams = {name: audio.read(path, stream=index) for index, name in enumerate(CLIP_STREAMS)}
    rate = streams["mixture"].sample_rate
    frames = min(stream.samples.shape[1] for stream in streams.values())
    span = slice(int(CLIP_TRIM_S * rate), frames - int(CLIP_TRIM_S * rate))
    backing = np.sum([streams[name].samples[:, :frames] for name in CLIP_STREAMS[1:-1]], axis=0)
    sounds = {"mixture": streams["mixture"].samples, "accompaniment": backing}
    gain = np.float32(0.999 / max(1.0, *(float(np.abs(s).max()) for s in sounds.values())))
    tracks = []
    for printed in (*CLIP_PAIR.originals, CLIP_PAIR.instrumental):
        name = f"audio/falcon-69-{printed.copy.sound}.flac"
        samples = sounds[printed.copy.sound][:, span] * gain
        if not Path(folder, name).exists():
            audio.write(str(Path(folder, name)), samples, rate)
        tracks.append((printed, name, samples.shape[1] / rate))
    return PairFiles(CLIP_PAIR, tuple(tracks), CLIP_LICENCE)


# Rows


def catalogue_rows(rng: Generator, pairs: list[PairFiles]) -> list[Row]:
    """All rows, shuffled and numbered, `audio_uri` relative to the catalogue's folder."""
    rows = [row for number, pair in enumerate(pairs) for row in pair_rows(rng, number, pair)]
    rows += special_rows(rng)
    invalid = invalid_rows(rng)
    background = background_rows(rng)
    rows += [next(background) for _ in range(ROWS - len(rows) - len(invalid) - 1)]
    rows += invalid
    order = rng.permutation(len(rows))
    for number, index in enumerate(order):
        rows[index]["track_id"] = f"track-{number:04d}"
    rows = [rows[index] for index in order]
    twin = dict(next(row for row in rows if row["artist_id"] == "artist-0001"))
    twin["title"] = words.title(rng)  # an id that was given twice
    return [*rows[:700], twin, *rows[700:]]


def row(
    rng: Generator, artist: str | None, title: str | None, duration_s: float, **facts: Any
) -> Row:
    """A row with believable facts in the other columns."""
    year = int(rng.integers(1962, 2021))
    filled = {
        "artist": artist,
        "title": title,
        "duration_s": duration_s,
        "artist_id": None,
        "audio_uri": None,
        "isrc": f"ZZDM1{year % 100:02d}{int(rng.integers(100_000)):05d}"
        if rng.random() < 0.6
        else None,
        "album": words.title(rng) if rng.random() < 0.8 else None,
        "release_year": year if rng.random() < 0.9 else None,
        "genre": words.pick(rng, words.GENRES) if rng.random() < 0.7 else None,
        "licence": None,
        "popularity": int(rng.integers(100)),
    }
    return filled | facts


def pair_rows(rng: Generator, number: int, pair: PairFiles) -> Iterator[Row]:
    for printed, path, duration_s in pair.tracks:
        stated_s = round(duration_s + float(rng.uniform(-0.2, 0.2)), 3)
        artist_id = f"artist-p{number:02d}" if pair.pair.artist_has_id else None
        facts = {"artist_id": artist_id, "audio_uri": path}
        yield row(
            rng,
            printed.artist,
            printed.title,
            stated_s,
            **facts,
            licence=pair.licence if path else None,
        )


def background_rows(rng: Generator) -> Iterator[Row]:
    """Artists with their discographies, without end; no two rows here make a pair."""
    foreign = [(name, titles) for names, titles in words.FOREIGN for name in names]
    for number in itertools.count(1):
        name, own_titles = words.artist_name(rng), None
        if foreign and rng.random() < 0.2:
            name, own_titles = foreign.pop(int(rng.integers(len(foreign))))
        titles: set[str] = set()
        for _ in range(int(rng.integers(3, 10))):
            title = words.pick(rng, own_titles) if own_titles else words.title(rng)
            if title.removeprefix("The ") not in titles:
                titles.add(title.removeprefix("The "))
                yield from song_rows(rng, name, f"artist-{number:04d}", title)


def song_rows(rng: Generator, artist: str, artist_id: str, title: str) -> Iterator[Row]:
    """A song and the versions of it that a catalogue would hold.

    Instrumentals are always shorter by more than a second than every other version, or hide their
    marker, or stand under another artist: the thesis' rule must refuse them all.
    """
    length_s = round(float(np.clip(rng.normal(225, 55), 95, 560)), 3)
    guest = words.pick(rng, words.FIRST) + " " + words.pick(rng, words.LAST)
    if rng.random() < 0.12:
        title += words.pick(rng, (f" (feat. {guest})", f" feat. {guest}", f" [ft. {guest}]"))
    plain = title.split(" (feat")[0].split(" feat.")[0].split(" [ft.")[0]

    def version(printed: str, seconds: float, **facts: Any) -> Row:
        facts = {"artist_id": artist_id} | facts
        return row(rng, facts.pop("artist", artist), printed, round(seconds, 3), **facts)

    def sometimes(share: float) -> bool:
        return bool(rng.random() < share)

    yield version(title, length_s)
    if sometimes(0.08):
        year = int(rng.integers(1998, 2021))
        comments = (f" - Remastered {year}", f" ({year} Remaster)", f" - {year} - Remaster")
        yield version(plain + words.pick(rng, comments), length_s + rng.uniform(-0.6, 0.6))
    if sometimes(0.08):
        place = words.pick(rng, words.PLACES)
        comment = words.pick(rng, (f" (Live at {place})", " - Live", f" [Live in {place}]"))
        yield version(plain + comment, length_s + rng.uniform(8, 70))
    if sometimes(0.05):
        remixer = words.pick(rng, words.LAST)
        yield version(f"{plain} - {remixer} Remix", length_s + rng.uniform(20, 140))
    if sometimes(0.04):
        yield version(f"{plain} (Acoustic)", length_s + rng.uniform(5, 30))
    if sometimes(0.06):  # the same recording again, misspelt
        yield version(words.misspelt(rng, plain), length_s + rng.uniform(-0.4, 0.4))
    if sometimes(0.06):  # the same recording again, under another name of the artist
        name = words.alias(rng, artist)
        yield version(title, length_s, artist=name, artist_id=f"{artist_id}-b")
    if sometimes(0.02):
        yield version(title, 1000 * length_s)  # milliseconds
    if sometimes(0.05):  # wrong duration, or another edit
        comment = words.pick(rng, (" (Instrumental)", " - Instrumental", " [Karaoke Version]"))
        yield version(plain + comment, length_s - rng.uniform(2.5, 40))
    if sometimes(0.05):  # markers that the thesis' rule does not know, or not in this place
        shapes = (
            f"{plain} (Inst.)",
            f"{plain} [off vocal]",
            f"{plain} カラオケ",
            f"{plain} (минус)",
            f"{plain} Instrumental",
            f"{plain} w/ {guest} (Instrumental)",
            f"(Instrumental) {plain}",
        )
        yield version(words.pick(rng, shapes), length_s)
    if sometimes(0.04):  # karaoke bands' covers
        band = words.pick(rng, ("Karaoke Stars Collective", "Sing Along Studio Band"))
        printed = f"{plain} (Karaoke Version) [Originally Performed by {artist}]"
        yield version(printed, length_s + rng.uniform(-3, 3), artist=band, artist_id="artist-kar")


def special_rows(rng: Generator) -> list[Row]:
    """Titles that mislead a rule."""
    printed = (
        ("Instrumental Value", 201.0),  # the title says it, the music does not
        ("Instrumental Value (Live)", 201.5),
        ("Karaoke Nights", 188.2),
        ("Karaoke Nights - Remastered 2009", 188.4),
        ("(Interlude)", 61.0),  # keys that are empty never match
        ("(Interlude) [Instrumental]", 61.0),
        ("…", 74.0),
        ("... (Instrumental)", 74.0),
        ("🌙🌙🌙", 93.0),
        ("🌙🌙🌙 (Karaoke)", 93.0),
        ("Theory", 144.0),  # "the" is a word, not a syllable
        ("Ory (Instrumental)", 144.0),
        ("Stone", 170.0),  # and so are numerals
        ("St1 (Instrumental)", 170.0),
        ("Boundary", 200.0),  # a second apart is too far
        ("Boundary (Instrumental)", 201.0),
        ("Part Two; DROP TABLE tracks", 140.0),
        ('<b>Bold</b> & "quoted"', 150.0),
    )
    return [row(rng, "Edge Cases", t, s, artist_id="artist-edge") for t, s in printed]


def invalid_rows(rng: Generator) -> list[Row]:
    """Rows that no rule can use; each becomes one reject."""
    artist_id = "artist-bad"
    return [
        row(rng, "Ugo Ueda", None, 180.0, artist_id=artist_id),
        row(rng, "Ugo Ueda", None, 212.0, artist_id=artist_id),
        row(rng, "Ugo Ueda", "Backwards", -188.0, artist_id=artist_id),
        row(rng, "Ugo Ueda", "Not a Number", math.nan, artist_id=artist_id),
        row(rng, "Ugo Ueda", "Endless", math.inf, artist_id=artist_id),
        row(rng, None, "Nobody's Song", 190.0),
    ]
