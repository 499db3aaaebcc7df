"""Fine-tuning with unlabelled songs: what a step costs, and what it does on real ones.

`speed` times an online fine-tuning step against a supervised step of the same net, in turn, the
reading of audio left out of both (worker processes do it). Best of several, by processor time on a
CPU.

`proof` holds out real songs in turn, trains a small band-split RNN on the others, fine-tunes it on
full songs without stems, and scores both on the held-out song. As a control the same net goes on
for as many steps at the same rate without unlabelled songs.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import nn

from benchmarks.bsrnn import device_name, in_turn
from training.checkpoint import Checkpoint
from training.finetuning import boosting
from training.finetuning.boosting import Segment, UnlabelledBatch
from training.models import precision
from training.recipes.base import Recipe
from training.recipes.registry import RECIPES
from training.teachers import labels, loading

STEPS = 4  # that are timed together
HELD_OUT = ("so_easy", "mallory")
VALID = ("song1_planetblupi_sung", "falcon")
TRAIN = ("playlist", "song2_rap_92bpm")  # and the one of HELD_OUT that is not
NET = ["--sample-rate", "11025", "--n-fft", "512", "--hop-length", "256", "--layers", "2"]
NET += ["--bands", "1000,200,4000,500,5500,750", "--features", "24", "--hidden", "32"]
NET += ["--mask-hidden", "64", "--batch-size", "2", "--patch-seconds", "2"]
LOOP = ["--workers", "1", "--device", "cpu", "--patience", "99", "--log-every", "20"]


def speed(device: torch.device, name: str, batch_size: int, ratio: float, rounds: int) -> None:
    """Print the table's row of one net."""
    recipe = RECIPES[name]
    steps = [_batch(recipe, batch_size, ratio, batch_size * n, device) for n in range(STEPS)]
    kind = precision.choose(None, device, recipe.nets())
    nets, old = recipe.nets().to(device), recipe.nets().to(device).eval().requires_grad_(False)
    teacher = loading.of_checkpoint(Checkpoint(recipe, old, 0), "0" * 64)
    adam = torch.optim.Adam(nets.parameters(), 1e-4)
    used: Counter[str] = Counter()

    def supervised() -> None:
        for batch in steps:
            _learn(recipe, nets, adam, boosting.compose(batch, boosting.Pools(), used), kind)

    def online() -> None:
        for batch in steps:
            pools = boosting.Pools()
            if batch.segments:
                mixture = torch.stack([one.mixture for one in batch.segments]).to(device)
                with torch.inference_mode():
                    target, missed = teacher.separate(mixture, recipe.target)
                    heard = labels.label(mixture, target, missed)
                pools = boosting.pools(batch.segments, mixture, target.clone(), heard)
            _learn(recipe, nets, adam, boosting.compose(batch, pools, used), kind)

    plain, boosted = (time / len(steps) for time in in_turn(device, [supervised, online], rounds))
    heard = sum(len(batch.segments) for batch in steps) / (len(steps) * batch_size)
    print(
        f"| {name} | {batch_size} | {ratio:g} | {heard:.2f} | {1e3 * plain:.0f} ms | "
        f"{1e3 * boosted:.0f} ms | **{boosted / plain:.2f}** |",
        flush=True,
    )


def _batch(
    recipe: Recipe, count: int, ratio: float, first: int, device: torch.device
) -> UnlabelledBatch:
    shape = (count, recipe.audio_channels, recipe.patch_samples)
    noise = torch.Generator().manual_seed(first)
    target, residual = (0.1 * torch.randn(shape, generator=noise).to(device) for _ in range(2))
    drawn = [boosting.sides(recipe.checked_mixing(), ratio, 0, first + n)[0] for n in range(count)]
    asked = sum(any(side.unlabelled for side in pair) for pair in drawn)
    segments = [
        Segment(str(n), 0.1 * torch.randn(shape[1:], generator=noise)) for n in range(asked)
    ]
    none = torch.zeros(count, dtype=torch.bool, device=device)
    return UnlabelledBatch(
        [str(n) for n in range(count)], target + residual, target, none, drawn, segments
    )


def _learn(
    recipe: Recipe,
    nets: nn.Module,
    adam: torch.optim.Adam,
    batch: object,
    kind: precision.Precision,
) -> None:
    assert isinstance(batch, boosting.Batch)
    adam.zero_grad(set_to_none=True)
    with precision.lowered(kind):
        loss = recipe.losses(nets, batch.mixture, batch.reference, batch.residual).mean()
    loss.backward()
    nn.utils.clip_grad_norm_(nets.parameters(), 5.0)
    adam.step()


def proof(data: Path, work: Path, steps: int, more: int, seeds: int) -> None:
    """Train, fine-tune and score, for each held-out song and seed; print a table of uSDR in dB."""
    songs = data / "audio" / "multitrack"
    unlabelled = work / "unlabelled"
    unlabelled.mkdir(parents=True, exist_ok=True)
    for folder in ("mixes", "instrumental"):
        for path in (data / "audio" / folder).iterdir():
            if not (unlabelled / path.name).exists():
                (unlabelled / path.name).symlink_to(path)
    found: dict[str, list[list[float]]] = {}
    for held in HELD_OUT:
        train = [*TRAIN, *(song for song in HELD_OUT if song != held)]
        corpus = _corpus(songs, work / held, {"train": train, "valid": VALID})
        test = _linked(songs, work / held / "test", [held])
        for seed in range(seeds):
            runs = work / held / str(seed)
            words = ["bsrnn-vocals", "--corpus", corpus, *NET, *LOOP, "--steps", steps]
            words += ["--validate-every", steps // 6, "--seed", seed, "--output", runs / "before"]
            _verb("train", *words)
            ways = {"boosted": "1", "labelled alone": "1e9"}
            scores = [_score(runs / "before", test)]
            for way, ratio in ways.items():
                words = [runs / "before", "--labelled", corpus, "--unlabelled", unlabelled, *LOOP]
                words += ["--ratio", ratio, "--steps", more, "--validate-every", more // 6]
                words += ["--seed", seed, "--output", runs / way.replace(" ", "-")]
                _verb("finetune", *words)
                scores.append(_score(runs / way.replace(" ", "-"), test))
                _tell(runs / way.replace(" ", "-"))
            found.setdefault(held, []).append(scores)
            print(held, seed, [round(score, 3) for score in scores], flush=True)
    print("| held out | before | labelled alone, as long | self-boosting | gain | over labelled |")
    print("|---|---|---|---|---|---|")
    for held, rows in found.items():
        print(_row(held, np.array(rows)))
    print(_row("both", np.concatenate([np.array(rows) for rows in found.values()])))


def _row(name: str, scores: np.ndarray) -> str:
    """scores: [runs, 3]: before, boosted, labelled alone."""
    before, boosted, alone = scores.T
    columns = (before, alone, boosted, boosted - before, boosted - alone)
    cells = (f"{np.mean(one):.2f} ± {np.std(one, ddof=1):.2f}" for one in columns)
    return f"| {name} | {' | '.join(cells)} |"


def _corpus(songs: Path, work: Path, splits: dict[str, tuple[str, ...] | list[str]]) -> Path:
    """A corpus in which each song is in the split that it is meant for."""
    every = [song for names in splits.values() for song in names]
    mapping = work / "splits.csv"
    stems = _linked(songs, work / "stems", every)
    lines = [f"{song},{split}" for split, names in splits.items() for song in names]
    mapping.write_text("\n".join(["song,split", *lines]) + "\n")
    _verb("corpus", "--stems", stems, "--output", work / "corpus", "--splits", mapping,
          "--sample-rate", "11025", "--chunk-seconds", "6")  # fmt: skip
    return work / "corpus"


def _linked(songs: Path, folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (folder / name).exists():
            (folder / name).symlink_to(songs / name)
    return folder


def _score(run: Path, test: Path) -> float:
    """uSDR of the vocals of the held-out song."""
    output = run.with_name(f"{run.name}-scores")
    _verb("evaluate", "--checkpoint", run, "--stems", test, "--output", output, "--fast")
    rows = pq.read_table(output / "songs.parquet").to_pylist()
    (score,) = [row["usdr_estimate"] for row in rows if row["source"] == "vocals"]
    return float(score)


def _tell(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    counts = {k: v for k, v in record["counts"].items() if k.startswith("segments_") and v}
    lineage = [(one["step"], round(one["score"], 4)) for one in record["teachers"]]
    print(run.name, counts, lineage, flush=True)


def _verb(*words: object) -> None:
    command = [sys.executable, "-m", "stemlode", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("speed", "proof"), nargs="?", default="speed")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data", type=Path, help="proof: the folder that holds audio/")
    parser.add_argument("--work", type=Path, help="proof: a folder to work in")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--more", type=int, default=240, help="steps of fine-tuning")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.what == "proof":
        proof(options.data.absolute(), options.work.absolute(), options.steps, options.more,
              options.seeds)  # fmt: skip
        return
    device = torch.device(options.device)
    torch.set_num_threads(1)
    print(f"{device_name(device)}, torch {torch.__version__}")
    print("| recipe | batch | ratio | segments heard an example | supervised | online | ratio |")
    print("|---" * 7 + "|")
    small = "bsrnn-vocals-small"
    nets = [("bsrnn-vocals", 16)] if device.type == "cuda" else [(small, 1)]
    for name, batch_size in nets:
        for ratio in (1.0, 0.0):
            speed(device, name, batch_size, ratio, options.rounds)


if __name__ == "__main__":
    main()
