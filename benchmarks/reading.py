"""Corpus reading: segments a second to the training loop, against webdataset and decoding alone.

Run with `python -m benchmarks.reading`; takes some minutes on two cores. Every reader decodes
mixture and vocals of the same samples with the same code, in one and in two worker processes, and
hands them over to the main process; decoding alone does not even read or hand over. Workers live
through all epochs, and the first epoch does not count. By CPU time of all processes, since other
work may run beside; and by the clock.
"""

import json
import math
import multiprocessing
import os
import time
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import webdataset
from torch.utils.data import DataLoader, Dataset

from benchmarks.corpus import RATE, ROUNDS, SECONDS, SUMS, folder, music
from pipelines.samples import chunks
from stemlode import runs, schemas, tables
from stemlode.ids import digest
from stemlode.shards import parquet as shards_parquet
from stemlode.shards import reading
from stemlode.shards import tar as shards_tar
from training.data import corpus, windows
from training.data.corpus import Windows, open_corpus
from training.recipes.registry import RECIPES

SAMPLES, PER_SHARD = 80, 20
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
        rows.append((row | {"sha256": shards_tar.hashes(contents)}, contents))
    held = shards_tar.write_part(run.path("_parts", "all.part"), rows)
    index: list[tables.Row] = []
    for first in range(0, SAMPLES, PER_SHARD):
        some, number = held[first : first + PER_SHARD], first // PER_SHARD
        if form == "parquet":
            name = shards_parquet.shard_name("train", number)
            sha256 = shards_parquet.write_shard(run.path(name), some, run.path("_parts", "note"))
            index += shards_parquet.rows(run.path(name), some, name)
        else:
            name = shards_tar.shard_name("train", number)
            sha256 = shards_tar.write_shard(run.path(name), some)
            index += shards_tar.rows(some, name)
        outputs[name] = sha256
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
    return webdataset.WebLoader(
        data, batch_size=None, num_workers=workers, persistent_workers=True, prefetch_factor=16
    )


class Alone(Dataset):
    """Decodes what lies in memory, and hands nothing over but that it was decoded."""

    def __init__(self, held: list[tuple[dict, dict]]) -> None:
        self.held = held

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, number: int) -> bool:
        return isinstance(windows.decode(*self.held[number], RECIPE), windows.Window)


def alone(held: list[tuple[dict, dict]], workers: int) -> Iterable[object]:
    return DataLoader(Alone(held), batch_size=None, num_workers=workers, persistent_workers=True)


def drain(items: Iterable[object]) -> None:
    count = sum(bool(item) and not isinstance(item, windows.Bad) for item in items)
    assert count == SAMPLES, count


def processor() -> float:
    """Processor seconds of this process and its living children."""
    spent = time.process_time()
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def spent(kinds: dict[str, Iterable[object]]) -> dict[str, tuple[float, float]]:
    """Wall and processor seconds of an epoch of each, the least of several rounds in turn."""
    best = dict.fromkeys(kinds, (math.inf, math.inf))
    for items in kinds.values():
        drain(items)
    for _ in range(ROUNDS):
        for name, items in kinds.items():
            wall, cpu = time.perf_counter(), processor()
            drain(items)
            took = time.perf_counter() - wall, processor() - cpu
            best[name] = min(best[name][0], took[0]), min(best[name][1], took[1])
    return best


def main() -> None:
    with folder() as place:
        tar, parquet = (open_corpus(write(place, form)) for form in ("webdataset", "parquet"))
        paths = sorted(str(path) for path in Path(tar.folder).rglob("*.tar"))
        rows = corpus.SplitSamples(tar, "train", RECIPE, 0, False).index.to_pylist()
        names = ["mixture.flac", "vocals.flac"]
        held = [(row, reading.contents(tar.folder, row, names)) for row in rows]

        def ours(data: corpus.Corpus, workers: int) -> Iterable[object]:
            return corpus.loader(Windows(data, "train", RECIPE, shuffle=True), workers)

        print(f"reading {SAMPLES} samples of {SECONDS} s, two stereo sources each, 44.1 kHz")
        for workers in (1, 2):
            found = spent(
                {
                    "decoding alone": alone(held, workers),
                    "webdataset": plain(paths, workers),
                    "ours, tars": ours(tar, workers),
                    "ours, Parquet": ours(parquet, workers),
                }
            )
            wall, cpu = found["decoding alone"]
            for name, (w, c) in found.items():
                print(
                    f"  {workers} workers {name:<16}{SAMPLES / c:7.1f} samples a CPU second"
                    f"  {cpu / c:5.2f} of decoding alone, by the clock {wall / w:5.2f}"
                )


if __name__ == "__main__":
    main()
