"""Do vocals and pitch help each other? The ten networks of the thesis' chapter 5, small.

At a quarter of the width and equal steps, trained and tested on what `joint_songs` says: one real
singer over music that nobody trained on, and three real songs where two teachers agree. For each
claim of the chapter the paired difference by song and seed, with a 95 % interval of its mean.
Songs and seeds are few, and the singer is one, so nothing here is about singers in general.

Each trained and scored network is a line of a file, so an ended benchmark goes on where it stopped:

    python -m benchmarks.joint [--results build/joint.jsonl] [--steps 4000] [--seeds 3]
    python -m benchmarks.joint --results FILE --steps 3600 --report    # of what is known alone

4000 steps of all networks are about 35 minutes of a quiet core for each seed. Vocals are learnt
from the first steps on; a salience takes some 800 to begin (2500 with `--prior 0.5`), so few steps
say nothing about pitch.

Separately trained: its second net gets the steps that each net gets in joint training, after the
first got them as Source Only. `wide` is source→pitch at 1.414 times the width, which has as many
parameters as S→P→S→P.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import joint_songs, trials
from benchmarks.joint_songs import Mixed, Tested
from stemlode.shards.salience import HOP_LENGTH, LEVELS, THRESHOLD
from training import checkpoint
from training.checkpoint import Checkpoint
from training.evaluation import melody_scores
from training.evaluation.listeners import Network, vocals_sdr
from training.models.joint import WIRINGS, Joint
from training.pitch.targets import F0
from training.recipes import registry
from training.recipes.joint import JointRecipe
from training.recipes.registry import RECIPES

WIDE = (6, 11, 23, 45, 91, 181)
# Small batches of short patches and no dropout, so that few minutes of one core hold many steps.
FAST = {"batch_size": 4, "patch_frames": 64, "dropout": 0.0, "learning_rate": 2e-3, "beta1": 0.9}
PITCH = ("oa", "oa_best", "rpa")
MEASURES = (*PITCH, "sdr_db")
HALF = 0.5  # the prior that results were of before there was another
CLAIMS = (  # better, worse, by which measures
    ("oracle-vocals", "pitch-only", PITCH),
    ("oracle-pitch", "source-only", ("sdr_db",)),
    ("source-to-pitch", "pitch-only", PITCH),
    ("source-to-pitch", "separately-trained", MEASURES),
    ("stacked-refinement", "source-to-pitch", MEASURES),
    ("stacked-refinement", "wide", MEASURES),
    ("stacked-refinement", "cross-stitch", MEASURES),
    ("stacked-refinement", "pitch-to-source", MEASURES),
    ("stacked-refinement", "shared-encoder", MEASURES),
    ("stacked-refinement", "source-only", ("sdr_db",)),
)
Row = dict[str, dict[str, Any]]  # song → measure → value


def networks(prior: float) -> Iterator[tuple[str, JointRecipe]]:
    """Source Only comes before what begins with it. `prior`: as the recipe's `salience_prior`."""
    for wiring in sorted(WIRINGS, key=lambda name: name == "separately-trained"):
        yield wiring, _recipe(wiring, salience_prior=prior)
    yield "wide", _recipe("source-to-pitch", channels=WIDE, salience_prior=prior)


def _recipe(wiring: str, **fields: Any) -> JointRecipe:
    recipe = registry.override(RECIPES[f"joint-{wiring}-small"], FAST | fields)
    assert isinstance(recipe, JointRecipe)
    return recipe


def batches(
    recipe: JointRecipe, songs: list[Mixed], steps: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Mixtures and vocals [batch, 1, samples], and salience [batch, 360, frames]; the same for
    every network of a seed."""
    rng = np.random.default_rng(seed)
    frames = recipe.patch_frames
    for _ in range(steps):
        rows = []
        for _ in range(recipe.batch_size):
            song = songs[rng.integers(len(songs))]
            first = int(rng.integers(song.salience.shape[1] - frames + 1))
            cut = slice(first * HOP_LENGTH, (first + frames) * HOP_LENGTH)
            vocals, backing = song.vocals[cut] / song.peak, song.backing[cut] / song.peak
            salience = song.salience[:, first : first + frames] / np.float32(LEVELS)
            rows.append((vocals + backing, vocals, salience))
        mixture, vocals, salience = (np.stack(part) for part in zip(*rows, strict=True))
        yield (
            torch.from_numpy(mixture)[:, None].float(),
            torch.from_numpy(vocals)[:, None].float(),
            torch.from_numpy(salience),
        )


def trained(
    recipe: JointRecipe, songs: list[Mixed], steps: int, seed: int, first: Joint | None
) -> Joint:
    """A network after so many steps; `first` holds the weights of what does not learn."""
    torch.manual_seed(seed)
    nets = recipe.nets()
    assert isinstance(nets, Joint)
    if first is not None:
        state = first.state_dict()
        nets.load_state_dict(nets.state_dict() | state)
    nets.freeze().train()
    learning = [weight for weight in nets.parameters() if weight.requires_grad]
    adam = torch.optim.Adam(learning, recipe.learning_rate, (recipe.beta1, recipe.beta2))
    residual = torch.zeros(recipe.batch_size, dtype=torch.bool)
    for mixture, vocals, salience in batches(recipe, songs, steps, seed):
        loss = recipe.judge_with_salience(nets, mixture, vocals, residual, salience).loss.mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
    return nets.eval()


def scored(network: Network, songs: list[Tested]) -> Row:
    """A network's OA at 0.4 and at every threshold, RPA and SDR on every song, as far as it has
    them."""
    rows: Row = {}
    for song in songs:
        heard = network.hear(song.mono)
        row: dict[str, Any] = {}
        if heard.f0 is not None:
            row |= accuracy(song, heard.f0)
        if heard.vocals is not None:
            row["sdr_db"] = vocals_sdr(song.mono, heard.vocals)
        rows[song.mono.name] = row
    return rows


def accuracy(song: Tested, f0: F0) -> dict[str, Any]:
    """OA and RPA of the frames that count."""
    found = melody_scores.accuracy(song.truth, f0)
    every = [round(value, 5) for value in found.oa]
    return {"oa": every[melody_scores.at(THRESHOLD)], "rpa": found.rpa, "every_oa": every}


def trivial(songs: list[Tested]) -> Row:
    """What is had for nothing: nobody sings, and the mixture is the vocals."""
    rows: Row = {}
    for song in songs:
        none = np.zeros(len(song.mono.truth.time_s))
        row = accuracy(song, F0(song.mono.truth.time_s, none, none))
        half = 0.5 * song.mono.mixture  # which leaves as much for the rest; scale does not count
        row["sdr_db"] = vocals_sdr(song.mono, half)
        rows[song.mono.name] = row | {"judged": float(song.judged.mean())}
    return rows


def main() -> None:
    """Train what is not trained yet, score it, and print the claims."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("build/joint.jsonl"), metavar="FILE")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="networks, separated by commas")
    parser.add_argument("--prior", type=float, default=_recipe("pitch-only").salience_prior)
    parser.add_argument("--report", action="store_true", help="train nothing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    results = trials.Results(given.results)
    found: dict[tuple[str, int], Row] = {}
    if not given.report:
        _train(given, results)
    for seed in range(given.seeds):
        for name, recipe in networks(given.prior):
            if (key := _key(name, recipe, seed, given.steps)) in results.found:
                found[name, seed] = results.found[key]
    nothing = results.found["nothing"]
    found["nothing", 0] = nothing
    for what in ("solo", ""):
        report(found, [n for n in nothing if n.startswith("solo") == bool(what)])


def _key(name: str, recipe: JointRecipe, seed: int, steps: int) -> str:
    prior = recipe.salience_prior
    return f"{name} {seed} {steps}" + (f" {prior:g}" if recipe.hears and prior != HALF else "")


def _train(given: argparse.Namespace, results: trials.Results) -> None:
    """What is asked for and not known yet."""
    songs = joint_songs.material()
    weights = joint_songs.data().parent / "weights" / "deepsalience_multif0.h5"
    tested = joint_songs.solo() + joint_songs.real(weights)
    results.once("nothing", lambda: trivial(tested))
    for seed in range(given.seeds):
        for name, recipe in networks(given.prior):
            if given.only and name not in given.only.split(","):
                continue
            kept = given.results.parent / f"source-only-{seed}-{given.steps}"

            def once(
                name: str = name,
                recipe: JointRecipe = recipe,
                seed: int = seed,
                kept: Path = kept,
            ) -> Row:
                first = checkpoint.load(str(kept)).core if recipe.kind.frozen else None
                assert first is None or isinstance(first, Joint)
                nets = trained(recipe, songs, given.steps, seed, first)
                net = Checkpoint(recipe, nets, given.steps)
                if name == "source-only":
                    checkpoint.save(str(kept), net)
                with torch.inference_mode():
                    return scored(Network(name, net), tested)

            results.once(_key(name, recipe, seed, given.steps), once)


def report(found: dict[tuple[str, int], Row], songs: list[str]) -> None:
    """Means of every network over some songs and all seeds, then each claim: by song and seed, and
    the mean over songs of each seed, which tells how much a seed changes."""
    print(f"\n{', '.join(songs)}\n\n| network | seeds | OA at 0.4 | at its best | RPA | SDR dB |")
    print("|---|---|---|---|---|---|")
    known: dict[tuple[str, int], Row] = {}
    for name in dict.fromkeys(name for name, _ in found):
        runs = {seed: row for (other, seed), row in found.items() if other == name}
        every = [r[s]["every_oa"] for r in runs.values() for s in songs if "every_oa" in r[s]]
        best = melody_scores.best_threshold(every) if every else None
        for seed, row in runs.items():
            known[name, seed] = {song: row[song] | _at(best, row[song]) for song in songs}
        rows = [known[name, seed] for seed in runs]
        cells = [_mean(rows, songs, measure) for measure in MEASURES]
        cells[1] += f" ({best:.2f})" if best is not None else ""
        print(f"| {name} | {len(runs)} | {' | '.join(cells)} |")
    print(
        "\n| claim | measure | difference | 95 % | pairs | each seed |\n|---|---|---|---|---|---|"
    )
    for better, worse, measures in CLAIMS:
        seeds = [s for name, s in known if name == better and (worse, s) in known]
        for measure in measures if seeds else ():
            pairs = [
                [known[better, s][song][measure] - known[worse, s][song][measure] for song in songs]
                for s in seeds
            ]
            mean, half = trials.interval(np.ravel(pairs).tolist())
            spread = f"{mean - half:+.3f} … {mean + half:+.3f}"
            each = ", ".join(f"{np.mean(one):+.3f}" for one in pairs)
            cells = [f"{better} > {worse}", measure, f"{mean:+.3f}", spread]
            print(f"| {' | '.join(cells)} | {np.size(pairs)} | {each} |")


def _at(best: float | None, row: dict[str, Any]) -> dict[str, float]:
    """OA at a network's best threshold."""
    if best is None or "every_oa" not in row:
        return {}
    return {"oa_best": row["every_oa"][melody_scores.at(best)]}


def _mean(runs: list[Row], songs: list[str], measure: str) -> str:
    values = [run[song][measure] for run in runs for song in songs if measure in run[song]]
    return f"{np.mean(values):.3f}" if values else "–"


if __name__ == "__main__":
    main()
