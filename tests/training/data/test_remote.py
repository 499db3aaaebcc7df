"""Corpora in object stores are read for training as those on disk are."""

import uuid
from pathlib import Path

import pytest
import torch

from stemlode import files, runs
from tests.training.data.test_corpus import RECIPE
from training.data import corpus
from training.data.corpus import Bad, Window, Windows
from training.recipes import registry

pytestmark = [
    pytest.mark.slow,
    # moto and gcsfs run threads, and the loader's workers are forked beside them
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
]
CROPPED = registry.override(RECIPE, {"patch_frames": 8})


@pytest.fixture
def address(store: str, corpus_folder: Path) -> str:
    """A copy of the corpus, in a folder of a store that nobody has used."""
    place = f"{store}/{uuid.uuid4().hex}"
    for path in corpus_folder.rglob("*"):
        if path.is_file():
            files.write_bytes(f"{place}/{path.relative_to(corpus_folder)}", path.read_bytes())
    return place


def _items(folder: str, workers: int, **place: int) -> list[object]:
    windows = Windows(
        corpus.open_corpus(folder), "train", CROPPED, seed=5, shuffle=True, crop=True, **place
    )
    return list(corpus.loader(windows, workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_store_gives_the_same_samples_and_goes_on_where_it_stopped(
    address: str, corpus_folder: Path, workers: int
) -> None:
    whole = _items(str(corpus_folder), 0, epoch=2)
    rest = _items(address, workers, epoch=2, skip=7)
    assert rest[:7] == [None] * 7 and len(rest) == len(whole)
    for one, other in zip(whole[7:], rest[7:], strict=True):
        assert isinstance(one, Window) and isinstance(other, Window)
        assert one.sample_id == other.sample_id
        assert torch.equal(one.mixture, other.mixture)
        assert torch.equal(one.reference, other.reference)


def test_a_shard_that_is_gone_from_a_store_is_skipped_and_counted(address: str) -> None:
    shards = [name for name in runs.record(address)["outputs"] if name.startswith("train/")]
    files.remove(f"{address}/{shards[0]}")
    items = _items(address, 0)
    bad = [item for item in items if isinstance(item, Bad)]
    assert bad and len(bad) < len(items)
    assert all(item.reason.startswith(f"{shards[0]}: ") for item in bad)
