"""Chunks that overlap and add up: no clicks, no growth, whatever the lengths."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training.recipes.chunks import Chunking, of_songs, overlap_add

RATE = 44_100


@settings(deadline=None)
@given(
    *(st.integers(1, 500), st.integers(2, 100), st.integers(1, 100), st.integers(1, 5)),
    st.booleans(),
)
def test_any_lengths_fit_together(
    total: int, length: int, hop: int, batch: int, padded: bool
) -> None:
    signal, lengths = torch.randn(2, total), set()

    def same(chunks: Tensor) -> Tensor:
        lengths.add(chunks.shape[-1])
        return chunks[:, None]

    chunking = Chunking(length / 100, min(hop, length) / 100, batch, padded=padded)
    whole = torch.cat(list(overlap_add(signal, 100, same, chunking)), dim=-1)
    torch.testing.assert_close(whole[0], signal, rtol=1e-5, atol=1e-5)
    assert torch.equal(of_songs(signal[None], 100, same, chunking)[0], whole)
    assert lengths == {length if padded else min(length, total)}


def test_without_padding_the_last_chunk_is_moved_back() -> None:
    """No chunk holds anything but the song."""
    numbered, starts = torch.arange(1, 104).float()[None], []

    def note(chunks: Tensor) -> Tensor:
        starts.extend(chunks[:, 0, 0].tolist())
        assert bool((chunks[:, 0].diff() == 1).all())
        return chunks[:, None]

    list(overlap_add(numbered, 10, note, Chunking(3, 2, batch=3, padded=False)))
    assert starts == [1, 21, 41, 61, 74]


def test_every_sample_lies_in_as_many_chunks() -> None:
    """T / P of them, also the first and the last one: so the estimates are means of as many."""
    seen = torch.zeros(1000)

    def count(chunks: Tensor) -> Tensor:
        places = chunks[:, 0].long()
        seen.index_add_(0, places[places > 0] - 1, torch.ones(int((places > 0).sum())))
        return chunks[:, None]

    numbered = torch.arange(1, 1001).float()[None]
    list(overlap_add(numbered, 10, count, Chunking(6, 1, batch=3)))
    assert seen.tolist() == [6] * 1000


@pytest.mark.parametrize("hop_seconds", [0.5, 1.5])
def test_chunks_that_disagree_do_not_click(hop_seconds: float) -> None:
    level = 0

    def disagreeing(chunks: Tensor) -> Tensor:
        nonlocal level
        gains = []
        for _ in chunks:
            level += 1
            gains.append(0.5 if level % 2 else 1.5)
        return chunks[:, None] * torch.tensor(gains)[:, None, None, None]

    constant = torch.ones(1, 10 * RATE)
    blocks = list(overlap_add(constant, RATE, disagreeing, Chunking(hop_seconds=hop_seconds)))
    found = torch.cat(blocks, dim=-1)
    assert float(found.diff().abs().max()) < 2e-3
    assert float(found.min()) >= 0.5 and float(found.max()) <= 1.5


LONG = """
import pathlib, sys, torch
from training.recipes.chunks import Chunking, overlap_add

class Long:
    shape = (2, int(sys.argv[1]) * 8000)
    def __getitem__(self, where):
        first, last, _ = where[1].indices(self.shape[1])
        return torch.full((2, max(0, last - first)), 0.25)

samples = 0
for block in overlap_add(Long(), 8000, lambda chunks: chunks[:, None], Chunking(hop_seconds=1.5)):
    samples += block.shape[-1]
    assert not block.numel() or abs(float(block[0, 0, 0]) - 0.25) < 1e-5
assert samples == Long.shape[1]
# ru_maxrss would begin with that of the process which started this one.
print(int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024)
"""


@pytest.mark.slow
def test_memory_is_flat_for_three_hours() -> None:
    def peak_mib(seconds: int) -> float:
        command = [sys.executable, "-c", LONG, str(seconds)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    # Three hours of this are 659 MiB.
    assert peak_mib(3 * 3600) < peak_mib(60) + 20


@pytest.mark.parametrize("said", ["out of memory", "DefaultCPUAllocator: can't allocate memory"])
def test_a_batch_is_halved_where_the_memory_has_no_room(said: str) -> None:
    signal, sizes = torch.randn(1, 1000), list[int]()

    def narrow(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise (torch.OutOfMemoryError if "out" in said else RuntimeError)(said)
        return batch[:, None]

    chunking = Chunking(1, 0.5, batch=14)
    found = torch.cat(list(overlap_add(signal, 100, narrow, chunking)), dim=-1)
    assert torch.allclose(found[0], signal, atol=1e-6)
    assert sizes[:4] == [14, 7, 3, 3] and chunking.at_once == 3
    sizes.clear()
    list(overlap_add(signal, 100, narrow, dataclasses.replace(chunking, padded=False)))
    assert max(sizes) == 3  # the next song does not try again


def test_what_is_no_lack_of_memory_is_not_tried_again() -> None:
    def broken(batch: Tensor) -> Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        list(overlap_add(torch.randn(1, 1000), 100, broken, Chunking(1, 0.5)))
