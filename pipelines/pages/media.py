"""Excerpts of real audio as pictures and players inside a page. Free of Beam."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile
from PIL import Image

from matching.sound.repairs.clock import Part
from pipelines.pages.excerpts import excerpt, on_clock
from stemlode import audio
from stemlode.audio import AudioError
from stemlode.theme import palette

EXCERPT_S = 12.0  # of a pair
SEPARATED_S = 20.0  # of a separated song
RATE = 16_000  # Hz; MP3 knows no 8192 Hz, the rate of the thesis
PLAYER_RATES = (44_100, 48_000)  # Hz; what MP3 takes at full quality
N_FFT, HOP_LENGTH = 1024, 256  # samples at RATE
HIGHEST_HZ = 4096.0  # of a picture: what a net at 8192 Hz sees
HERTZ = ("4,096 Hz", "2,048 Hz", "0 Hz")  # of a picture, from its top
FLOOR_DB = -66.0  # relative to the mixture's loudest bin
SHADES = 40
BLOCK_FRAMES = 65_536
QUIETEST = 10 ** (-80 / 20)  # peak below which an excerpt is silence


@dataclass(frozen=True)
class Clip:
    """A picture and a player, as data URIs; either may be empty.

    `scale` are the picture's labels from its top to its bottom, `start_s` and `seconds` its time.
    """

    label: str
    player: str
    picture: str = ""
    scale: tuple[str, ...] = ()
    start_s: float = 0.0
    seconds: float = 0.0


def triple(
    mix_uri: str,
    instrumental_uri: str,
    *,
    offset_s: float | None,
    gain_db: float | None,
    polarity: int,
    duration_s: float | None,
    clock: Sequence[Part] = (),
) -> list[Clip]:
    """Mixture, aligned instrumental and their difference, from a third into the song, or from the
    middle of the longest of several parts.

    The difference is what a corpus of pairs trains on: max(|X| − |gY|, 0) with the phase of the
    mixture X (thesis, 4.2.2). Raises AudioError where one of the two cannot be read.
    """
    start = max(0.0, min((duration_s or 0.0) / 3, (duration_s or 0.0) - EXCERPT_S))
    if len(clock) > 1:
        longest = max(clock, key=lambda part: part.end_s - part.begin_s)
        start = max(0.0, (longest.begin_s + longest.end_s - EXCERPT_S) / 2)
    mixture = excerpt(mix_uri, start, EXCERPT_S, RATE, mono=True)[0]
    if clock:
        other = on_clock(instrumental_uri, clock, start, EXCERPT_S, RATE, mono=True)[0]
    else:
        other = excerpt(instrumental_uri, start + (offset_s or 0.0), EXCERPT_S, RATE, mono=True)[0]
    if np.abs(mixture).max(initial=0.0) < QUIETEST and start > 0:
        raise AudioError("silent where the excerpt is taken")
    other = np.pad(other, (0, max(0, len(mixture) - len(other))))[: len(mixture)]
    other = other * np.float32(10 ** (np.clip(gain_db or 0.0, -40, 40) / 20))
    x, y = stft(mixture), stft(other)
    residual = np.maximum(np.abs(x) - np.abs(y), 0)  # [bins, frames]
    reference = float(np.abs(x).max(initial=0.0)) or 1.0
    sounds = (
        ("mixture", np.abs(x), mixture),
        ("instrumental", np.abs(y), other * polarity),
        ("difference", residual, istft(residual * np.exp(1j * np.angle(x)), len(mixture))),
    )
    loudest = max(1.0, *(float(np.abs(sound).max(initial=0.0)) for _, _, sound in sounds))
    return [
        Clip(
            label,
            player(sound[None] / loudest, RATE),
            picture(magnitude, reference),
            HERTZ,
            start,
            len(mixture) / RATE,
        )
        for label, magnitude, sound in sounds
    ]


def separated(uris: Sequence[tuple[str, str]]) -> list[Clip]:
    """The same excerpt of several files (label, path), the mixture first, at one level."""
    rate = next((r for r in PLAYER_RATES if r == audio.probe(uris[0][1]).sample_rate), 44_100)
    start = _lively(uris[0][1], SEPARATED_S)
    sounds = [(label, excerpt(uri, start, SEPARATED_S, rate)[:2]) for label, uri in uris]
    loudest = max(1.0, *(float(np.abs(sound).max(initial=0.0)) for _, sound in sounds))
    magnitudes = [
        np.abs(stft(audio.resample(sound.mean(axis=0), rate, RATE))) for _, sound in sounds
    ]
    reference = float(magnitudes[0].max(initial=0.0)) or 1.0
    return [
        Clip(
            label,
            player(sound / loudest, rate),
            picture(magnitude, reference),
            HERTZ,
            start,
            sound.shape[1] / rate,
        )
        for (label, sound), magnitude in zip(sounds, magnitudes, strict=True)
    ]


def stft(samples: np.ndarray) -> np.ndarray:
    """Complex spectrogram [bins, frames] of [samples], square-root Hann window, centred."""
    padded = np.pad(samples, (N_FFT // 2, N_FFT))
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH]
    return np.fft.rfft(frames * _window(), axis=1).T


def istft(spectrogram: np.ndarray, length: int) -> np.ndarray:
    """The float32 signal [length] whose `stft` is nearest to [bins, frames]."""
    window = _window()
    frames = np.fft.irfft(spectrogram.T, N_FFT, axis=1) * window
    signal = np.zeros((len(frames) - 1) * HOP_LENGTH + N_FFT)
    weight = np.zeros_like(signal)
    for position, frame in enumerate(frames):
        at = slice(position * HOP_LENGTH, position * HOP_LENGTH + N_FFT)
        signal[at] += frame
        weight[at] += window**2
    middle = slice(N_FFT // 2, N_FFT // 2 + length)
    return (signal[middle] / np.maximum(weight[middle], 1e-6)).astype(np.float32)


def picture(magnitude: np.ndarray, reference: float) -> str:
    """The `png` of a spectrogram as a data URI."""
    return _data_uri("image/png", png(magnitude, reference))


def png(magnitude: np.ndarray, reference: float) -> bytes:
    """Magnitudes [bins, frames] as a picture, in decibels below `reference`, low notes below.

    Two frames become one column, the louder one, and only what lies below HIGHEST_HZ is drawn.
    """
    shown = magnitude[: int(HIGHEST_HZ * N_FFT / RATE)]
    shown = shown[:, : shown.shape[1] // 2 * 2]
    shown = np.maximum(shown[:, ::2], shown[:, 1::2])
    level = 20 * np.log10(np.maximum(shown / reference, 1e-9))
    return _painted(level / -FLOOR_DB + 1)


def shades(values: np.ndarray) -> str:
    """Values in 0…1 [rows, frames] as a `png` data URI, the first row below; two frames become one
    column, the larger one, as in `picture`."""
    shown = values[:, : values.shape[1] // 2 * 2]
    return _data_uri("image/png", _painted(np.maximum(shown[:, ::2], shown[:, 1::2])))


def _painted(values: np.ndarray) -> bytes:
    """Values, dark at 0 and light at 1, as a PNG with the first row below."""
    shade = np.clip(values * SHADES, 0, SHADES - 1).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(shade[::-1]))
    image.putpalette(palette.shades(SHADES))
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return data.getvalue()


def player(samples: np.ndarray, sample_rate: int) -> str:
    """[channels, frames] as an MP3 data URI. AudioError where libsndfile has no MP3 encoder."""
    data = io.BytesIO()
    frames = np.clip(samples.T, -1, 1)
    try:
        with soundfile.SoundFile(
            data,
            "w",
            samplerate=sample_rate,
            channels=frames.shape[1],
            format="MP3",
            bitrate_mode="VARIABLE",
            compression_level=0.8,
        ) as sink:
            # libsndfile crashes on a long MP3 signal in one call
            for start in range(0, len(frames), BLOCK_FRAMES):
                sink.write(frames[start : start + BLOCK_FRAMES])
    except (ValueError, soundfile.LibsndfileError) as error:
        raise AudioError(f"no player: {error}") from error
    return _data_uri("audio/mpeg", data.getvalue())


def _lively(uri: str, seconds: float) -> float:
    """Where an excerpt begins: a third into the song, or at its start where it is short."""
    duration = audio.probe(uri).duration_s
    return max(0.0, min(duration / 3, duration - seconds)) if duration > 0 else 0.0


def _window() -> np.ndarray:
    return np.sqrt(np.hanning(N_FFT + 1)[:-1])


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
