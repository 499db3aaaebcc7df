"""Takahashi and Mitsufuji's experiments on amicable examples, with small recipes of ours.

    python -m benchmarks.papers.amicable --folder DIR [--clips N] [PART …]

Parts, in the order in which they need each other: figure2 (gain against DI_SDR at four λ), table2
(one targeted model and the others, with controls), figure3 (bit rates), table3 (two models, both
signs). Nets are trained on songs that are left out: clips of 10 s come from two real multitracks
and from synthesised songs. Each result is a line of DIR/results.jsonl as soon as it is known, so a
run that is ended goes on; `--train NET` trains one net and ends. Nothing here is timed.
"""

import argparse
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import trials
from benchmarks.trials import Results
from pipelines.demo.music import render_song
from stemlode import audio
from training import checkpoint
from training.amicable import models, noise, optimise, scores
from training.amicable.codecs import Codec
from training.amicable.models import Model
from training.amicable.objective import Problem, Term
from training.amicable.optimise import Settings, State
from training.amicable.song import Song
from training.checkpoint import Checkpoint
from training.recipes import registry
from training.recipes.chunks import Chunking

PARTS = ("figure2", "table2", "figure3", "table3")
RATE, CLIP_S, TRAIN_S = 44_100, 10, 20
REAL = {"mallory": 3, "song2_rap_92bpm": 4}  # left out of training; clips of each
SYNTHETIC = range(100, 105)  # seeds of songs, a clip each
# Which songs a net learns from: real ones, and seeds of synthesised ones.
FIRST = (("so_easy", "playlist"), range(12))
SECOND = (("song1_planetblupi_sung",), range(20, 32))
LAMBDAS = (10.0, 20.0, 40.0, 100.0)
WANTED_DB = 27.8
NEAR_WANTED = 280.0  # λ with which such nets come near it
BITRATES = (64, 96, 128, 192, 256)
HALVES = Chunking(hop_seconds=1.5)  # of 3 s


@dataclass(frozen=True)
class Trained:
    """A net of the experiments: its recipe, with changes, its songs, steps, seed, and how songs
    are cut for it."""

    recipe: str
    changes: dict[str, Any]
    songs: tuple[tuple[str, ...], range]
    steps: int
    seed: int
    cut: Chunking = HALVES


BANDS = (1000, 100, 4000, 250, 8000, 500)  # Hz; a split like V7 for 16 kHz
NETS = {
    "unet": Trained("unet-vocals-small", {}, FIRST, 1000, 0),
    "unet again": Trained("unet-vocals-small", {}, SECOND, 1000, 1),
    "demucs": Trained("demucs-vocals-small", {}, FIRST, 400, 0, Chunking(5.0, 4.0)),
    "cws-k8": Trained("cws-unet5-k8-small", {"gain_low": 0.6}, FIRST, 250, 0),
    "bsrnn": Trained(
        "bsrnn-vocals-small",
        {"sample_rate": 16_000, "bands": BANDS, "features": 24, "layers": 2, "n_fft": 1024,
         "hop_length": 512, "batch_size": 2},
        FIRST, 200, 0,
    ),
}  # fmt: skip
TARGET, PARTNER = "unet", "demucs"
# The partner's weight beside 1, λ as a multiple of the target's own, and the DI_SDR in dB.
PAIRS = {"both better": (4.0, 2.6, WANTED_DB), "opposite": (-1.0, 1.5, 20.0)}


@dataclass(frozen=True)
class Clip:
    """Ten seconds of a song."""

    name: str
    group: str  # the song it is of
    song: Song


def clips(count: int) -> list[Clip]:
    """Clips of all songs in turn, at most so many."""
    found: list[Clip] = []
    every = []
    for seed in SYNTHETIC:
        every.append((f"synthetic {seed}", synthetic(seed, CLIP_S), 1))
    for name, number in REAL.items():
        every.append((name, real(name), number))
    for turn in range(max(number for *_, number in every)):
        for name, (vocals, backing), number in reversed(every):
            if turn < number:
                part = slice(turn * CLIP_S * RATE, (turn + 1) * CLIP_S * RATE)
                stems = {"vocals": vocals[:, part], "accompaniment": backing[:, part]}
                whole = Song(stems["vocals"] + stems["accompaniment"], stems, RATE)
                found.append(Clip(f"{name} {turn}", name, whole))
    return found[:count]


def synthetic(seed: int, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Vocals and accompaniment of a song that the demo makes."""
    stems = {name: x.astype(np.float32) for name, x in render_song(seed, seconds, RATE).items()}
    vocals = stems.pop("vocals")
    return vocals, np.sum(list(stems.values()), axis=0)


def real(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Vocals and accompaniment of a multitrack of STEMLODE_TEST_DATA; the mixture is their sum."""
    folder = Path(os.environ["STEMLODE_TEST_DATA"]) / "audio/multitrack" / name
    stems = {
        path.stem: audio.read(str(path), sample_rate=RATE).samples
        for path in sorted(folder.iterdir())
        if path.stem != "mixture"
    }
    length = min(stem.shape[1] for stem in stems.values())
    vocals = stems.pop("vocals")[:, :length]
    return vocals, np.sum([stem[:, :length] for stem in stems.values()], axis=0)


def net(folder: Path, name: str) -> Model:
    """A net of NETS, trained once and kept in the folder."""
    path, asked = folder / "models" / name.replace(" ", "-"), NETS[name]
    if not (path / checkpoint.MODEL).exists():
        recipe = registry.override(registry.RECIPES[asked.recipe], asked.changes)
        names, seeds = asked.songs
        songs = [(name, real(name)) for name in names]
        songs += [(f"synthetic {seed}", synthetic(seed, TRAIN_S)) for seed in seeds]

        def at_rate(samples: np.ndarray) -> torch.Tensor:
            low = audio.resample(samples, RATE, recipe.sample_rate)
            mono = low.mean(0, keepdims=True) if recipe.audio_channels == 1 else low
            return torch.from_numpy(np.ascontiguousarray(mono))

        material = [trials.Song(name, at_rate(v), at_rate(a)) for name, (v, a) in songs]
        trained = trials.train(recipe, material, asked.steps, asked.seed)
        checkpoint.save(str(path), Checkpoint(recipe, trained, asked.steps))
    return models.load(str(path), torch.device("cpu"), asked.cut)


class Experiment:
    """What the parts share: nets, clips, perturbations and scores, each computed once."""

    def __init__(self, folder: Path, count: int, iterations: int) -> None:
        self.folder, self.iterations = folder, iterations
        self.results = Results(folder / "results.jsonl")
        self.clips = clips(count)
        self.nets = {name: net(folder, name) for name in NETS}

    def perturbation(
        self, key: str, clip: Clip, targets: Mapping[str, float], **asked: Any
    ) -> np.ndarray:
        """ν of a clip for some nets with their weights."""
        path = self.folder / "perturbations" / f"{key}, {clip.name}.npy"

        def make() -> dict[str, Any]:
            settings = Settings(iterations=self.iterations, **asked)
            terms = [Term(self.nets[name].separator, own) for name, own in targets.items()]
            problem = Problem.of(clip.song, terms)
            state = State.begun(problem, settings)
            optimise.run(terms, [problem], [state], settings)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, state.best.numpy())
            assert state.best_at is not None
            return {"stpr_weight": state.best_stpr_weight, "di_sdr": state.best_at.di_sdr}

        self.results.once(f"perturbation: {key}: {clip.name}", make)
        return np.load(path)

    def sdr(self, key: str, name: str, clip: Clip, samples: Callable[[], np.ndarray]) -> float:
        """A net's SDR on a clip in some form: the mean over stems of museval's medians."""

        def measure() -> float:
            return scores.mean(scores.of_samples(self.nets[name], samples(), clip.song)[0])

        return self.results.once(f"sdr: {key}: {name}: {clip.name}", measure)

    def gain(self, key: str, name: str, clip: Clip, samples: Callable[[], np.ndarray]) -> float:
        """By how much a form of a clip is separated better than the clip itself."""
        before = self.sdr("plain", name, clip, lambda: clip.song.mixture)
        return self.sdr(key, name, clip, samples) - before

    def di_sdr(self, key: str, clip: Clip) -> float:
        """That of a perturbation that is known."""
        found = self.results.found[f"perturbation: {key}: {clip.name}"]
        return found["di_sdr"][noise.MEDIAN]

    def say(self, what: str, values: Sequence[float]) -> None:
        """A mean over the clips that are known, and its spread over songs."""
        by_song = defaultdict(list)
        for clip, value in zip(self.clips, values, strict=False):
            by_song[clip.group].append(value)
        means = [float(np.mean(some)) for some in by_song.values()]
        mean, half = trials.interval(means)
        spread = f"{min(means):+.2f} to {max(means):+.2f}"
        print(f"{what:<48} {mean:+.2f} ± {half:.2f} dB  ({spread}, {len(means)} songs)", flush=True)


def figure2(one: Experiment) -> None:
    """Gain of the targeted model against DI_SDR, at the paper's four λ."""
    for weight in LAMBDAS:
        key = f"λ {weight:g}"
        gains = []
        for clip in one.clips:
            found = one.perturbation(key, clip, {TARGET: 1.0}, stpr_weight=weight)
            gains.append(one.gain(key, TARGET, clip, lambda c=clip, f=found: c.song.mixture + f))
        di_sdr = float(np.mean([one.di_sdr(key, clip) for clip in one.clips]))
        one.say(f"figure 2: λ {weight:g}, DI_SDR {di_sdr:.1f} dB", gains)


def targeted(one: Experiment, clip: Clip) -> np.ndarray:
    """The perturbation for the target near 28 dB, on which table 2 and figure 3 stand."""
    return one.perturbation(
        "targeted", clip, {TARGET: 1.0}, target_di_sdr=WANTED_DB, stpr_weight=NEAR_WANTED
    )


def table2(one: Experiment) -> None:
    """One targeted model, the others, and what any noise of that profile does."""
    others = [*one.clips[1:], one.clips[0]]
    forms: dict[str, Callable[[Clip, Clip], np.ndarray]] = {
        "amicable": lambda clip, other: targeted(one, clip),
        "random noise": lambda clip, other: _control(one, clip, None),
        "another song's": lambda clip, other: _control(one, clip, other),
    }
    for form, made in forms.items():
        gains: dict[str, list[float]] = {name: [] for name in NETS}
        for clip, other in zip(one.clips, others, strict=True):
            for name in NETS if form == "amicable" else (TARGET,):
                key = "targeted" if form == "amicable" else form
                gains[name].append(
                    one.gain(
                        key, name, clip,
                        lambda c=clip, o=other, m=made: c.song.mixture + m(c, o),
                    )
                )  # fmt: skip
        for name, found in gains.items():
            if found:
                one.say(f"table 2: {form}, {name}", found)
    one.say("table 2: DI_SDR", [one.di_sdr("targeted", clip) for clip in one.clips])


def _control(one: Experiment, clip: Clip, other: Clip | None) -> np.ndarray:
    own, mixture = torch.from_numpy(targeted(one, clip)), torch.from_numpy(clip.song.mixture)
    if other is None:
        return noise.random_like(own, mixture).numpy()
    return noise.levelled(torch.from_numpy(targeted(one, other)), own, mixture).numpy()


def figure3(one: Experiment) -> None:
    """Gain after MP3, of the perturbed mixture over the plain one, both encoded."""
    for kbit in BITRATES:
        codec, gains = Codec("mp3", kbit), []
        for clip in one.clips:
            forms = {
                f"{codec}, plain": lambda c=clip: c.song.mixture,
                f"{codec}, targeted": lambda c=clip: c.song.mixture + targeted(one, c),
            }
            plain, better = (
                one.sdr(key, TARGET, clip, lambda m=made, k=codec: k.decoded(m(), RATE)[0])
                for key, made in forms.items()
            )
            gains.append(better - plain)
        one.say(f"figure 3: MP3 at {kbit} kbit/s", gains)


def table3(one: Experiment) -> None:
    """Two models, both better, or one better and the other worse, at the paper's DI_SDR.

    Without searches: λ is a multiple of that of the clip's targeted perturbation, and what is
    louder than wanted is scaled down.
    """
    for key, (weight, factor, wanted) in PAIRS.items():
        gains: dict[str, list[float]] = {TARGET: [], PARTNER: []}
        di_sdr = []
        for clip in one.clips:
            targeted(one, clip)
            known = one.results.found[f"perturbation: targeted: {clip.name}"]
            found = one.perturbation(
                key, clip, {TARGET: 1.0, PARTNER: weight}, stpr_weight=factor * known["stpr_weight"]
            )
            louder = max(0.0, wanted - one.di_sdr(key, clip))
            scaled = found * np.float32(10 ** (-louder / 20))
            di_sdr.append(one.di_sdr(key, clip) + louder)
            for name, some in gains.items():
                some.append(one.gain(key, name, clip, lambda c=clip, f=scaled: c.song.mixture + f))
        for name, some in gains.items():
            one.say(f"table 3: {key}, {name}", some)
        one.say(f"table 3: {key}, DI_SDR", di_sdr)


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--train", choices=NETS, metavar="NET")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--iterations", type=int, default=Settings.iterations)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.train:
        net(given.folder, given.train)
        return
    one = Experiment(given.folder, given.clips, given.iterations)
    for clip in one.clips:
        for name in NETS:
            one.sdr("plain", name, clip, lambda c=clip: c.song.mixture)
    for name in NETS:
        one.say(f"SDR of the plain mixtures: {name}", [
            one.sdr("plain", name, clip, lambda: np.zeros(0)) for clip in one.clips
        ])  # fmt: skip
    for part in given.parts or PARTS:
        {"figure2": figure2, "table2": table2, "figure3": figure3, "table3": table3}[part](one)


if __name__ == "__main__":
    main()
