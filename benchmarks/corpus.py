"""Corpus writing: the tar layer alone, and all of it against FLAC encoding alone.

Run with `python -m benchmarks.corpus`; takes about a minute on one core.
"""

import contextlib
import functools
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import webdataset

from pipelines.samples import chunks
from stemlode.audio import activity
from stemlode.ids import digest
from stemlode.shards import tar as shards_tar

RATE, SECONDS, SONGS, CHUNKS = 44_100, 12, 2, 10
ROUNDS = 3  # the best of them counts
SUMS = {"mixture": {"vocals": 1, "accompaniment": 1}}


def music(seed: int) -> dict[str, np.ndarray]:
    """Twelve stereo seconds of a vibrato voice over chords and noise: vocals, accompaniment."""
    draw = np.random.default_rng(seed)
    t = np.arange(SECONDS * RATE) / RATE
    pitches = 110 * 2 ** (draw.integers(0, 24, (2, 5)) / 12)
    voice = sum(
        0.2 / k * np.sin(2 * np.pi * k * pitches[0, 0] * t + 0.3 * np.sin(35 * t))
        for k in range(1, 9)
    )
    chords = sum(0.1 * np.sin(2 * np.pi * f * t) * np.exp(-(t % 0.5) * 4) for f in pitches[1])
    noise = 0.02 * draw.standard_normal((2, t.size))
    pan = np.array([[0.7], [1.0]])
    sources = {"vocals": pan * voice, "accompaniment": pan[::-1] * chords + noise}
    # frame by frame, as files are decoded
    return {name: np.asfortranarray(x, np.float32) for name, x in sources.items()}


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    work()
    return clock() - started


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def tar_layer() -> None:
    """Samples of 5 MB: written by tarfile, by webdataset, and by us (checked twice)."""
    contents = {
        f"{n:032x}": {"a.flac": os.urandom(2_500_000), "b.flac": os.urandom(2_500_000)}
        for n in range(40)
    }
    mebibytes = sum(len(data) for files in contents.values() for data in files.values()) / 2**20

    def plain(path: Path) -> None:
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for key, files in contents.items():
                for name, data in files.items():
                    info = tarfile.TarInfo(f"{key}.{name}")
                    info.size = len(data)
                    tar.addfile(info, BytesIO(data))

    def peer(path: Path) -> None:
        with webdataset.TarWriter(str(path), mtime=0) as writer:
            for key, files in contents.items():
                writer.write({"__key__": key, **files})

    with folder() as place:
        rows = [({"sample_id": key}, files) for key, files in contents.items()]
        part = str(place / "a.part")
        samples = shards_tar.write_part(part, rows)
        figures = {
            "tarfile": min(seconds(lambda: plain(place / "plain.tar")) for _ in range(ROUNDS)),
            "webdataset": min(seconds(lambda: peer(place / "peer.tar")) for _ in range(ROUNDS)),
            "part file": min(
                seconds(lambda: shards_tar.write_part(part, rows)) for _ in range(ROUNDS)
            ),
            "shard": min(
                seconds(lambda n=n: shards_tar.write_shard(str(place / f"{n}.tar"), samples))
                for n in range(ROUNDS)
            ),
        }
    print(f"tar layer alone, {mebibytes:.0f} MiB in samples of 5 MB")
    for name, spent in figures.items():
        print(f"  {name:<12}{mebibytes / spent:8.0f} MiB/s")


def whole() -> None:
    """From decoded chunks to finished shards, against FLAC encoding of the same alone."""
    decoded = [music(seed) for seed in range(SONGS * CHUNKS)]
    integers = [chunks.quantise(chunk, SUMS)[0] for chunk in decoded]

    def encode() -> None:
        for sources in integers:
            for samples in sources.values():
                chunks.flac(samples, RATE)

    def encoded(song: int) -> Iterator[tuple[dict, dict[str, bytes]]]:
        meters = {name: activity.Meter(RATE) for name in (*decoded[0], *SUMS)}
        for number, chunk in enumerate(decoded[song * CHUNKS : (song + 1) * CHUNKS]):
            sources, scale = chunks.quantise(chunk, SUMS)
            unit = chunks.full_scale(16) / scale
            squares = {name: meters[name].add(x, unit) for name, x in sources.items()}
            levels = {n: chunks.level_db(squares[n], x.size, scale) for n, x in sources.items()}
            row = {"sample_id": digest(str(song), str(number)), "energies_db": levels}
            contents = {f"{name}.flac": chunks.flac(x, RATE) for name, x in sources.items()}
            contents["json"] = json.dumps(row).encode()
            yield row | {"sha256": shards_tar.hashes(contents)}, contents

    def write(place: Path) -> None:
        held = [
            sample
            for song in range(SONGS)
            for sample in shards_tar.write_part(str(place / f"{song}.part"), encoded(song))
        ]
        held.sort(key=lambda sample: sample.row["sample_id"])
        shards_tar.write_shard(str(place / "train-00000.tar"), held)

    rounds = []
    for _ in range(ROUNDS):
        with folder() as place:
            work = encode, functools.partial(write, place)
            rounds.append([seconds(each, time.process_time) for each in work])
    flac, ours = (min(spent) for spent in zip(*rounds, strict=True))
    length = SONGS * CHUNKS * SECONDS
    print(f"writing {length} s of three stereo sources at 44.1 kHz, by CPU seconds")
    print(f"  FLAC alone  {length / flac:8.0f} times real time")
    print(f"  all of it   {length / ours:8.0f} times real time: {flac / ours:.2f} of FLAC alone")


if __name__ == "__main__":
    tar_layer()
    whole()
