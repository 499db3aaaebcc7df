"""Pairs as catalogues hold them, made from real songs whose stems are known; for `sound.py`.

What is encoded is really encoded, written, read back by `stemlode.audio` and compared as `prune`
compares. Truth is known by construction; where a codec adds a delay, it is measured apart from all
of ours, by a plain correlation of a copy with its original at the full rate.
"""

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import scipy.signal
import soundfile
import soxr

from stemlode import audio

LOW = 8192
CODECS = {"mp3": "libmp3lame", "m4a": "aac", "opus": "libopus", "ogg": ""}
KBITS = (64, 128, 320)
DRIFTS_PPM = (500, -500, 1000, 3000, -10_000, 10_000)
SONGS = (
    "so_easy", "mallory", "playlist", "song1_planetblupi_sung", "song2_rap_92bpm", "falcon",
)  # fmt: skip
SOFT = ("song1_planetblupi_sung", "song2_rap_92bpm", "mallory", "so_easy")
SOFT_DB = (0, -6, -12, -18)
SHIFTS_S = (0.0005, -0.0005, 0.0113, -0.0113, 1.0, -1.0, 20.0, -20.0)


@dataclass(frozen=True)
class Song:
    """Stems, float32 [channels, frames]."""

    name: str
    mixture: np.ndarray
    accompaniment: np.ndarray
    vocals: np.ndarray
    rate: int


@dataclass(frozen=True)
class Case:
    """Two recordings, mono at LOW, and what should come out."""

    name: str
    song: str
    mixture: np.ndarray
    instrumental: np.ndarray
    expected: str
    offset_s: float | None = None  # None: there is no right one
    drift_ppm: float | None = None
    gain_db: float | None = None


def songs(data: Path) -> list[Song]:
    """Every multitrack with a voice that is heard."""
    return [song(data, name) for name in SONGS]


def song(data: Path, name: str) -> Song:
    """One of SONGS; its accompaniment and mixture are summed where they are not given."""
    folder = data / "audio/multitrack" / name
    if name == "falcon":
        (path,) = folder.iterdir()
        five = [audio.read(str(path), stream=stream) for stream in range(5)]
        backing = np.sum([stem.samples for stem in five[1:4]], axis=0)
        return Song(name, five[0].samples, backing, five[4].samples, five[0].sample_rate)
    stems = {path.stem: audio.read(str(path)) for path in sorted(folder.iterdir())}
    frames = min(stem.samples.shape[1] for stem in stems.values())
    parts = {stem: sound.samples[:, :frames] for stem, sound in stems.items()}
    backing = parts.get("accompaniment")
    if backing is None:
        rest = [part for stem, part in parts.items() if stem not in ("mixture", "vocals")]
        backing = np.sum(rest, axis=0)
    mixture = parts.get("mixture", backing + parts["vocals"])
    return Song(name, mixture, backing, parts["vocals"], stems["vocals"].sample_rate)


def full(data: Path, seconds: float) -> dict[str, np.ndarray]:
    """The middle of every full song, [channels, frames] at 44.1 kHz."""
    folders = (data / "audio/mixes", data / "audio/instrumental")
    paths = [path for folder in folders for path in sorted(folder.iterdir())]
    found = {}
    for path in paths:
        samples = audio.read(str(path), sample_rate=44_100).samples
        start = max(0, samples.shape[1] // 2 - round(seconds * 22_050))
        found[path.stem] = samples[:, start : start + round(seconds * 44_100)]
    return found


def low(samples: np.ndarray, rate: int) -> np.ndarray:
    """Mono at LOW, as prune hears it."""
    mono = samples.mean(axis=0) if samples.ndim == 2 else samples
    return audio.resample(np.ascontiguousarray(mono, np.float32), rate, LOW)


def encoded(samples: np.ndarray, rate: int, kind: str, kbits: int) -> tuple[np.ndarray, int]:
    """[channels, frames] through a codec and back: the samples and their rate."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/it.{kind}"
        level = encode(path, samples, rate, kind, kbits)
        back = audio.read(path)
    return back.samples / np.float32(level), back.sample_rate


def encode(path: str, samples: np.ndarray, rate: int, kind: str, kbits: int) -> float:
    """Write [channels, frames] through a codec; the level, for codecs clip."""
    peak = float(np.abs(samples).max())
    level = min(1.0, 0.9 / peak) if peak else 1.0
    if kind == "ogg":
        _vorbis(path, samples * level, rate, kbits)
    else:
        _av(path, samples * level, rate, CODECS[kind], kbits)
    return level


def _vorbis(path: str, samples: np.ndarray, rate: int, kbits: int) -> None:
    """libsndfile asks for a quality, of which 0 is about 64 kbit/s and 0.9 about 320."""
    quality = {64: 0.0, 128: 0.4, 320: 0.9}[kbits]
    options = {"format": "OGG", "subtype": "VORBIS", "compression_level": 1 - quality}
    with soundfile.SoundFile(path, "w", rate, len(samples), **options) as file:
        for start in range(0, samples.shape[1], 4096):
            file.write(samples[:, start : start + 4096].T)


def _av(path: str, samples: np.ndarray, rate: int, codec: str, kbits: int) -> None:
    if codec == "libopus" and rate != 48_000:
        samples, rate = audio.resample(samples, rate, 48_000), 48_000
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.bit_rate = kbits * 1000
        layout = "stereo" if len(samples) == 2 else "mono"
        stream.layout = layout
        for start in range(0, samples.shape[1], 4096):
            part = np.ascontiguousarray(samples[:, start : start + 4096], np.float32)
            frame = av.AudioFrame.from_ndarray(part, "fltp", layout)
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def delay_s(copy: np.ndarray, copy_rate: int, original: np.ndarray, rate: int) -> float:
    """How much later a copy is than its original: the peak of their plain correlation."""
    frames = 5 * rate  # enough, and no codec is late by more than a tenth of a second
    x = np.asarray(original[:, :frames], np.float64).mean(axis=0)
    y = audio.resample(copy[:, : 5 * copy_rate], copy_rate, rate)
    y = np.asarray(y, np.float64).mean(axis=0)
    found = scipy.signal.correlate(y, x, "full", "fft")
    top = int(found.argmax())
    left, middle, right = found[top - 1 : top + 2]
    return float(top - (len(x) - 1) + 0.5 * (left - right) / (left - 2 * middle + right)) / rate


def faster(samples: np.ndarray, rate: int, ppm: float) -> np.ndarray:
    """Samples that run faster by so many millionths."""
    return soxr.resample(samples.T, rate * (1 + ppm * 1e-6), rate, "HQ").T


def level_db(samples: np.ndarray) -> float:
    """Mean power."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))


def foreign(other: np.ndarray, like: np.ndarray, seconds: float, rate: int) -> np.ndarray:
    """Another song's beginning, as loud as this one."""
    frames = round(seconds * rate)
    whole = np.tile(other[: len(like)], (1, 1 + frames // other.shape[1]))
    part = whole[:, :frames]
    return part * np.float32(10 ** ((level_db(like) - level_db(part)) / 20))


def true_pairs(song: Song, other: np.ndarray) -> Iterator[Case]:
    """One song's mixture and accompaniment in every disguise. `other` is another song."""
    x, y, rate, name = song.mixture, song.accompaniment, song.rate, song.name
    heard = low(x, rate)

    def case(what: str, instrumental: np.ndarray, offset_s: float = 0.0, **more: object) -> Case:
        values = {"mixture": heard, "expected": "kept", "offset_s": offset_s} | more
        return Case(what, name, instrumental=low(instrumental, rate), **values)  # type: ignore[arg-type]

    yield case("as they are", y, gain_db=0.0)
    for shift_s in SHIFTS_S:
        frames = round(abs(shift_s) * rate)
        intro = foreign(other, y, abs(shift_s), rate)
        if shift_s > 0:
            later = np.concatenate([intro, y], axis=1)
            yield case("foreign audio before it", later, frames / rate)
        else:
            later = np.concatenate([intro, x], axis=1)
            share = x.shape[1] / later.shape[1]
            expected = "kept" if share > 0.9 else "partly"
            late = low(later, rate)
            where = -frames / rate
            yield case(
                "foreign audio before the mixture", y, where, mixture=late, expected=expected
            )
    for seconds in (0.1523, 5.0, 28.0):
        silence = np.zeros((len(y), round(seconds * rate)), np.float32)
        later = np.concatenate([silence, y], axis=1)
        yield case("silence before it", later, silence.shape[1] / rate)
    for gain_db in (-12, 12):
        yield case("±12 dB", y * np.float32(10 ** (gain_db / 20)), gain_db=-float(gain_db))
    yield case("inverted", -y, gain_db=0.0)
    yield case("mono against stereo", y.mean(axis=0))
    yield case("resampled to 48 kHz", audio.resample(audio.resample(y, rate, 48_000), 48_000, rate))
    yield case("faded in and out", y * _fades(y.shape[1], rate))
    clipped = np.clip(x * 3, -np.abs(x).max(), np.abs(x).max())
    yield case("a clipped master", y, mixture=low(clipped, rate))
    bright = scipy.signal.lfilter(*scipy.signal.butter(1, 300, "high", fs=rate), x)
    yield case("an equalised master", y, mixture=low(x + bright.astype(np.float32), rate))
    for ppm in DRIFTS_PPM:
        what = f"{abs(ppm) / 10_000:g} % {'faster' if ppm > 0 else 'slower'}"
        changed = faster(y, rate, ppm)
        yield case(what, changed, offset_s=None, drift_ppm=float(ppm))


def through_codecs(song: Song) -> Iterator[Case]:
    """One song's mixture and its accompaniment as encoders leave it."""
    heard, y, rate = low(song.mixture, song.rate), song.accompaniment, song.rate
    for kind in CODECS:
        for kbits in KBITS:
            back, back_rate = encoded(y, rate, kind, kbits)
            late_s = delay_s(back, back_rate, y, rate)
            what = f"{kind} at {kbits} kbit/s"
            yield Case(what, song.name, heard, low(back, back_rate), "kept", late_s)


def with_voice(song: Song, voice_db: float) -> np.ndarray:
    """Its accompaniment with its voice at another level."""
    return song.accompaniment + song.vocals * np.float32(10 ** (voice_db / 20))


def soft_voices(song: Song, levels_db: Iterable[float] = SOFT_DB[:3]) -> Iterator[Case]:
    """One song's accompaniment and its mixture with a softer and softer voice."""
    backing = low(song.accompaniment, song.rate)
    for voice_db in levels_db:
        heard = low(with_voice(song, voice_db), song.rate)
        yield Case(f"voice at {voice_db} dB", song.name, heard, backing, "kept", 0.0, None, 0.0)


def soft_copies(
    song: Song,
    levels_db: Iterable[float] = SOFT_DB,
    rates: Iterable[int] = KBITS,
    kinds: Iterable[str] = CODECS,
) -> Iterator[Case]:
    """The same mixtures through encoders, each against itself, either way round."""
    for voice_db in levels_db:
        mixture = with_voice(song, voice_db)
        heard = low(mixture, song.rate)
        for kind, kbits in itertools.product(kinds, rates):
            again = low(*encoded(mixture, song.rate, kind, kbits))
            what = f"voice at {voice_db} dB: {{}} {kind} at {kbits} kbit/s"
            yield Case(what.format("against"), song.name, heard, again, "too_similar")
            yield Case(what.format("by"), song.name, again, heard, "too_similar")


def wrong_pairs(song: Song, another: Song, other: np.ndarray) -> Iterator[Case]:
    """One song's recordings in pairs that must not be kept."""
    x, y, v, rate = song.mixture, song.accompaniment, song.vocals, song.rate
    mixture, accompaniment, vocals = (low(part, rate) for part in (x, y, v))

    def case(what: str, first: np.ndarray, second: np.ndarray, expected: str) -> Case:
        placed = None if expected in ("too_different", "partly") else 0.0
        return Case(what, song.name, first, second, expected, placed)

    yield case("swapped", accompaniment, mixture, "swapped")
    yield case("an a cappella", mixture, vocals, "a_cappella")
    yield case("an a cappella and its mixture, swapped", vocals, mixture, "swapped")
    yield case("two mixes, another voice", mixture, _sung_by(song, another), "too_similar")
    third = len(mixture) // 3
    replaced = accompaniment.copy()
    replaced[third : 2 * third] = foreign(low(other, 44_100)[None], y, third / LOW, LOW)[0]
    yield case("another song in its middle", mixture, replaced, "partly")
    yield case("its first half alone", mixture, accompaniment[: len(mixture) // 2], "partly")
    cut = np.concatenate([accompaniment[: 2 * third], accompaniment[2 * third + LOW * 5 :]])
    if len(mixture) > 20 * LOW:
        yield case("five seconds cut out", mixture, cut, "partly")
    softly = Case("swapped, in mp3 at 64 kbit/s", song.name, *_mp3(y, x, rate), "swapped", 0.0)
    yield softly


def copies(
    name: str, samples: np.ndarray, rate: int, rates: tuple[int, ...] = KBITS
) -> Iterator[Case]:
    """One recording from two encoders."""
    heard = low(samples, rate)
    for kind in CODECS:
        for kbits in rates:
            back, back_rate = encoded(samples, rate, kind, kbits)
            late_s = delay_s(back, back_rate, samples, rate)
            again = low(back, back_rate)
            yield Case(
                f"copies: {kind} at {kbits} kbit/s", name, heard, again, "too_similar", late_s
            )
    coarse = low(*encoded(samples, rate, "mp3", 64))
    other = low(*encoded(samples, rate, "opus", 64))
    yield Case("copies: mp3 and opus, 64 kbit/s both", name, coarse, other, "too_similar")
    louder = np.clip(heard * 2, -np.abs(heard).max(), np.abs(heard).max())
    yield Case("copies: one of them clipped", name, heard, louder, "too_similar", 0.0)


def unrelated(sounds: dict[str, np.ndarray]) -> Iterator[Case]:
    """Every one of some mono recordings at LOW against every other."""
    for name, x in sounds.items():
        for other, y in sounds.items():
            if name != other:
                yield Case("unrelated recordings", f"{name}, {other}", x, y, "too_different")


def _fades(frames: int, rate: int) -> np.ndarray:
    """In over a tenth and out over a third, as records end."""
    fade = np.ones(frames, np.float32)
    start, end = frames // 10, frames // 3
    fade[:start] = np.linspace(0, 1, start)
    fade[-end:] = np.linspace(1, 0, end) ** 2
    return fade


def _sung_by(song: Song, another: Song) -> np.ndarray:
    """A song's accompaniment under another song's voice, as loud as its own."""
    y = low(song.accompaniment, song.rate)
    voice = low(another.vocals, another.rate)
    voice = np.resize(voice[len(voice) // 2 :], len(y))  # some begin to sing late
    own = low(song.vocals, song.rate)
    return y + voice * np.float32(10 ** ((level_db(own) - level_db(voice)) / 20))


def _mp3(x: np.ndarray, y: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    return low(*encoded(x, rate, "mp3", 64)), low(*encoded(y, rate, "mp3", 64))
