"""Corpus reading: segments a second to the training loop, against webdataset and decoding alone.

Run with `python -m benchmarks.reading`; takes some minutes on two cores. Every reader decodes
mixture and vocals of the same samples with the same code, in one and in two worker processes, and
hands them over to the main process; decoding alone does not even read or hand over.
"""

import json
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import torch
import webdataset

from benchmarks.corpus import RATE, ROUNDS, SECONDS, SUMS, folder, music
from matching.ids import digest
from pipelines import chunks, parquet_shards, runs, schemas, shards, tables
from training import corpus, windows
from training.corpus import Windows, open_corpus
from training.recipe import Recipe
from training.recipes import RECIPES

SAMPLES, PER_SHARD = 100, 25
RECIPE = RECIPES["cws-unet5-k1"]  # 44.1 kHz, stereo, vocals: nothing to resample


def write(place: Path, form: str) -> str:
    """A finished corpus of synthetic music; its folder."""
    run = runs.start("corpus", str(place / form), {"format": form}, {})
    assert run is not None
    pieces = [music(seed) for seed in range(8)]
    rows, outputs = [], {}
    for number in range(SAMPLES):
        sources, scale = chunks.quantise(pieces[number % len(pieces)], SUMS)
        row = dict.fromkeys(schemas.INDEX.names) | {
            "sample_id": digest(str(number)),
            "song_id": str(number),
            "split_group": str(number),
            "split": "train",
            "kind": "stems",
            "sources": sorted(sources),
            "start_s": 0.0,
            "duration_s": float(SECONDS),
            "sample_rate": RATE,
            "channels": 2,
            "scale": scale,
        }
        contents = {f"{name}.flac": chunks.flac(x, RATE) for name, x in sources.items()}
        contents["json"] = json.dumps(row).encode()
        rows.append((row | {"sha256": shards.hashes(contents)}, contents))
    held = shards.write_part(run.path("_parts", "all.part"), rows)
    index = []
    for first in range(0, SAMPLES, PER_SHARD):
        some, number = held[first : first + PER_SHARD], first // PER_SHARD
        if form == "parquet":
            name = parquet_shards.shard_name("train", number)
            sha256 = parquet_shards.write_shard(run.path(name), some, run.path("_parts", "note"))
            offsets = list(range(len(some)))
        else:
            name = shards.shard_name("train", number)
            sha256 = shards.write_shard(run.path(name), some)
            offsets = shards.offsets(some)
        outputs[name] = sha256
        index += [
            sample.row | {"shard": name, "offset": offset, "size": sample.size}
            for sample, offset in zip(some, offsets, strict=True)
        ]
    part = tables.write(
        run, "index-00000-of-00001.parquet", pa.Table.from_pylist(index, schemas.INDEX)
    )
    run.finish({}, outputs | {part["path"]: part["sha256"]})
    return run.output


def decode(sample: dict) -> windows.Window | windows.Bad:
    """What a plain webdataset pipeline maps over its samples."""
    return windows.decode(json.loads(sample["json"]), sample, RECIPE)


def plain(paths: list[str], workers: int) -> Iterable[object]:
    """webdataset's own pipeline and loader."""
    data = webdataset.WebDataset(paths, shardshuffle=False).map(decode)
    return webdataset.WebLoader(data, batch_size=None, num_workers=workers)


def _share(held: list[tuple[dict, dict]], worker: int, workers: int) -> None:
    torch.set_num_threads(1)
    for row, contents in held[worker::workers]:
        windows.decode(row, contents, RECIPE)


def alone(held: list[tuple[dict, dict]], workers: int) -> None:
    """Decode what lies in memory, and drop it."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_share, args=(held, n, workers)) for n in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def drain(items: Iterable[object]) -> None:
    count = sum(isinstance(item, windows.Window) for item in items)
    assert count == SAMPLES, count


def spent(work: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds, and processor seconds of this process and its children."""

    def processor() -> float:
        found = [
            resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ]
        return sum(usage.ru_utime + usage.ru_stime for usage in found)

    wall, cpu = time.perf_counter(), processor()
    work()
    return time.perf_counter() - wall, processor() - cpu


def main() -> None:
    with folder() as place:
        tar, parquet = (open_corpus(write(place, form)) for form in ("webdataset", "parquet"))
        paths = sorted(str(path) for path in Path(tar.folder).rglob("*.tar"))
        rows = corpus.Samples(tar, "train", RECIPE, 0, False).index.to_pylist()
        names = ["mixture.flac", "vocals.flac"]
        held = [(row, corpus.shards.contents(tar.folder, row, names)) for row in rows]

        def ours(data: corpus.Corpus, recipe: Recipe, workers: int) -> None:
            drain(corpus.loader(Windows(data, "train", recipe, shuffle=True), workers))

        print(f"reading {SAMPLES} samples of {SECONDS} s, two stereo sources each, 44.1 kHz")
        for workers in (1, 2):
            kinds: dict[str, Callable[[], object]] = {
                "decoding alone": lambda n=workers: alone(held, n),
                "webdataset": lambda n=workers: drain(plain(paths, n)),
                "ours, tars": lambda n=workers: ours(tar, RECIPE, n),
                "ours, Parquet": lambda n=workers: ours(parquet, RECIPE, n),
            }
            best = {name: (float("inf"), float("inf")) for name in kinds}
            for _ in range(ROUNDS):
                for name, work in kinds.items():
                    found = spent(work)
                    best[name] = min(best[name][0], found[0]), min(best[name][1], found[1])
            wall, cpu = best["decoding alone"]
            for name, (w, c) in best.items():
                print(
                    f"  {workers} workers {name:<16}{SAMPLES / w:7.1f} samples/s"
                    f"  {wall / w:5.2f} of decoding alone by the clock, {cpu / c:5.2f} by CPU time"
                )


if __name__ == "__main__":
    main()
