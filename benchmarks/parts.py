"""Bytes and requests of a training batch, by an index of version 1 and of version 2.

    python -m benchmarks.parts [--stems DIR] [--batches 8] [--stores]

A corpus of real multitracks (STEMLODE_TEST_DATA, or --stems), in chunks of 12 s at 44.1 kHz, of
either format, on this disk and with --stores on emulated ones (moto for S3, an emulator of Google
Cloud Storage). What is drawn for a batch of `bsrnn-vocals` is read by both indexes and compared
sample by sample. An encoded piece is what FLAC makes of that piece alone.
"""

import argparse
import contextlib
import dataclasses
import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pyarrow as pa
import soundfile
import torch

from pipelines.corpus import command as corpus_verb
from pipelines.samples import chunks
from stemlode import files
from stemlode.shards import reading
from tests import stores
from training.data import windows
from training.data.corpus import Corpus, SplitSamples, Window, open_corpus
from training.data.mixing import Draws
from training.recipes import registry
from training.recipes.registry import RECIPES

DATA = Path(os.environ.get("STEMLODE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
BATCH = 16


class Counted:
    """What is asked of the disk (opens count as requests) or of a store, and what it costs."""

    def __init__(self) -> None:
        self.requests, self.bytes, self.encoded = 0, 0, 0

    @contextlib.contextmanager
    def counting(self, remote: bool) -> Iterator[None]:
        """Within this context."""
        read_range, open_input = files.read_range, files.open_input
        ask, read = aiohttp.ClientSession._request, aiohttp.StreamReader.read

        def ranged(path: str, start: int, count: int) -> bytes:
            data = read_range(path, start, count)
            self._add(0 if remote else 1, 0 if remote else len(data))
            return data

        def opened(path: str, **options: bool) -> object:
            file = open_input(path, **options)
            return file if remote else _File(file, self)

        async def asked(*given: object, **named: object) -> object:
            self._add(1, 0)
            return await ask(*given, **named)  # type: ignore[arg-type]

        async def answered(stream: aiohttp.StreamReader, size: int = -1) -> bytes:
            data = await read(stream, size)
            self._add(0, len(data))
            return data

        files.read_range, files.open_input = ranged, opened  # type: ignore[assignment]
        aiohttp.ClientSession._request = asked  # type: ignore[assignment,method-assign]
        aiohttp.StreamReader.read = answered  # type: ignore[method-assign]
        try:
            yield
        finally:
            files.read_range, files.open_input = read_range, open_input
            aiohttp.ClientSession._request = ask  # type: ignore[method-assign]
            aiohttp.StreamReader.read = read  # type: ignore[method-assign]

    def _add(self, requests: int, size: int) -> None:
        self.requests += requests
        self.bytes += size


class _File(io.RawIOBase):
    """A local file that counts what is read of it."""

    def __init__(self, file: io.BufferedReader, counted: Counted) -> None:
        super().__init__()
        self.file, self.counted = file, counted

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.counted._add(1, len(data))
        return data

    def seek(self, place: int, whence: int = 0) -> int:
        return self.file.seek(place, whence)

    def tell(self) -> int:
        return self.file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def of_version_1(data: Corpus) -> Corpus:
    """The corpus as if its index did not say where files lie."""
    place = data.index.column_names.index("members")
    none = pa.nulls(len(data.index), data.index.schema.field("members").type)
    return dataclasses.replace(data, index=data.index.set_column(place, "members", none))


@contextlib.contextmanager
def encoding(counted: Counted) -> Iterator[None]:
    """Count what the pieces that are read would be alone, as FLAC."""
    read = windows._some

    def heard(folder, row, name, shape, start_s, samples):  # type: ignore[no-untyped-def]
        whole = reading.contents(folder, row, [name])[name]
        sound, rate = soundfile.read(io.BytesIO(whole), dtype="int16", always_2d=True)
        begin = round(start_s * rate)
        piece = sound[begin : begin + -(-samples * rate // shape[1]) + 1]
        counted.encoded += len(chunks.flac(piece.T, rate))
        return read(folder, row, name, shape, start_s, samples)

    windows._some = heard
    try:
        yield
    finally:
        windows._some = read


def row_of(where: str, form: str, data: Corpus, batches: int) -> list[str]:
    """The rows of the table for a corpus in one place."""
    recipe = registry.override(
        RECIPES["bsrnn-vocals"], {"others": ("accompaniment",), "batch_size": BATCH}
    )
    piece = Counted()
    with encoding(piece):
        wanted = [Draws(data, recipe, seed=1)[number] for number in range(batches)]
    found = []
    for version, held in ((1, of_version_1(data)), (2, data)):
        counted, draws = Counted(), Draws(held, recipe, seed=1)
        reading._TABLES.clear()
        cpu = time.process_time()
        with counted.counting("://" in data.folder):
            drawn = [draws[number] for number in range(batches)]
        cpu = time.process_time() - cpu
        for one, other in zip(drawn, wanted, strict=True):
            assert one.sample_ids == other.sample_ids and not one.rejects
            assert torch.equal(one.waveforms, other.waveforms)
        sources = 2 * BATCH * batches
        found.append(
            f"| {where}, {form} | {version} | {counted.bytes / batches / 1e6:.1f} MB | "
            f"{counted.bytes / piece.encoded:.2f} | {counted.requests / batches:.1f} "
            f"({counted.requests / sources:.2f} a source) | {1000 * cpu / sources:.1f} ms |"
        )
    return found


def patches(form: str, data: Corpus) -> list[str]:
    """The same of samples as they are, of which an epoch takes a patch of mixture and target."""
    found, drawn = [], []
    for version, held in ((1, of_version_1(data)), (2, data)):
        samples = SplitSamples(held, "train", RECIPES["cws-unet5-k1"], 1, True)
        counted = Counted()
        reading._TABLES.clear()
        cpu = time.process_time()
        with counted.counting(remote=False):
            drawn.append([samples[0, number, False] for number in range(len(samples))])
        cpu = time.process_time() - cpu
        found.append(
            f"| disk, {form} | {version} | {counted.bytes / len(samples) / 1e6:.2f} MB | "
            f"{counted.requests / len(samples):.1f} | {1000 * cpu / len(samples):.1f} ms |"
        )
    for one, other in zip(*drawn, strict=True):
        assert isinstance(one, Window) and isinstance(other, Window)
        assert torch.equal(one.mixture, other.mixture)
        assert torch.equal(one.reference, other.reference)
    return found


def copied(folder: str, to: str) -> Corpus:
    """A corpus in a store."""
    for path in Path(folder).rglob("*"):
        if path.is_file():
            files.write_bytes(f"{to}/{path.relative_to(folder)}", path.read_bytes())
    return open_corpus(to)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stems", default=str(DATA / "audio" / "multitrack"), metavar="DIR")
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--stores", action="store_true", help="emulated stores, too")
    given = parser.parse_args()
    if not Path(given.stems).is_dir():
        print(f"no multitracks at {given.stems}: set STEMLODE_TEST_DATA")
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root, contextlib.ExitStack() as held:
        corpora = {}
        for form in ("webdataset", "parquet"):
            corpora[form] = f"{root}/{form}"
            words = ["--stems", given.stems, "--output", corpora[form], "--format", form]
            assert corpus_verb.main([*words, "--split", "train=1", "--sources", "two"]) == 0
        print(f"{BATCH} x 2 sources of 3 s a batch, {given.batches} batches")
        print("| where | index | bytes a batch | of the encoded pieces | requests a batch | CPU |")
        print("|---|---|---|---|---|---|")
        for form, folder in corpora.items():
            print("\n".join(row_of("disk", form, open_corpus(folder), given.batches)), flush=True)
        print("patches of 3 s, by cws-unet5-k1")
        print("| where | index | bytes a sample | requests a sample | CPU a sample |")
        print("|---|---|---|---|---|")
        for form, folder in corpora.items():
            print("\n".join(patches(form, open_corpus(folder))), flush=True)
        for kind in ("s3", "gs") if given.stores else ():
            log = Path(root) / f"{kind}.log"
            _, facts = held.enter_context(stores.served(kind, log))
            os.environ |= facts
            stores.hurry()
            for form, folder in corpora.items():
                data = copied(folder, f"{kind}://bucket/{form}")
                print("\n".join(row_of(kind, form, data, given.batches)), flush=True)


if __name__ == "__main__":
    main()
