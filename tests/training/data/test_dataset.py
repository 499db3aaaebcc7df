"""A corpus from Python: chunks as NumPy arrays and as a PyTorch dataset that goes on exactly."""

import multiprocessing
import re
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import stemlode
from stemlode.shards import songs
from tests.conftest import PROJECT
from training.data.corpus import Windows
from training.data.corpus import open_corpus as opened_to_train
from training.recipes.registry import RECIPES


@pytest.fixture(scope="module")
def corpus(corpus_folder: Path) -> stemlode.OpenCorpus:
    return stemlode.open_corpus(corpus_folder)


def _damaged(corpus_folder: Path, to: Path) -> stemlode.OpenCorpus:
    """The corpus with one chunk overwritten."""
    shutil.copytree(corpus_folder, to)
    found = stemlode.open_corpus(to).split("train")
    row = found[3].row
    with (to / row["shard"]).open("r+b") as file:
        file.seek(row["offset"] + 100)
        file.write(bytes(row["size"] - 100))
    return found


def test_plain_iteration_gives_what_training_hears(corpus: stemlode.OpenCorpus) -> None:
    train = corpus.split("train").with_sources("mixture", "vocals")
    recipe = RECIPES["unet-vocals"]
    heard = {w.sample_id: w for w in Windows(opened_to_train(corpus.folder), "train", recipe)}
    assert len(train) == len(heard) > 10
    for chunk in train:
        voice = chunk.audio["vocals"]
        assert voice.dtype == np.float32 and voice.shape[0] == 2 and chunk.sample_rate == 16_000
        mean = torch.from_numpy(voice.mean(0, keepdims=True))
        assert abs(mean.shape[1] / 16_000 - chunk.row["duration_s"]) < 1e-6
        assert chunk.sample_id in heard
    assert {*chunk.audio} == {"mixture", "vocals"}
    assert sum(map(len, (corpus.split(s) for s in ("train", "valid", "test")))) == len(corpus)
    assert corpus.songs.num_rows == 10 and 0 < corpus.hours < 1


def test_sources_sum_to_the_mixture(corpus: stemlode.OpenCorpus) -> None:
    audio = corpus[-1].audio
    stems = sum(part for name, part in audio.items() if name != "mixture")
    assert np.array_equal(stems, audio["mixture"])


@pytest.mark.parametrize("world_size", [1, 2])
def test_it_goes_on_where_it_was_however_many_workers(
    corpus: stemlode.OpenCorpus, world_size: int
) -> None:
    train = corpus.split("train")

    def items(workers: int, **options: Any) -> list[dict[str, Any]]:
        at = {"batch_size": 3, "seconds": 0.5, "seed": 5, "world_size": world_size, "rank": 0}
        dataset = train.torch(**(at | options))
        if not workers:
            return [*dataset]
        return [*DataLoader(dataset, batch_size=None, num_workers=workers)]

    def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
        audio = zip(first["audio"].values(), second["audio"].values(), strict=True)
        plain = [{k: v for k, v in one.items() if k != "audio"} for one in (first, second)]
        return plain[0] == plain[1] and all(torch.equal(a, b) for a, b in audio)

    whole = items(0, epoch=2)
    assert whole[0]["audio"]["vocals"].shape == (3, 2, 8000)
    assert all(map(same, whole, items(2, epoch=2)))
    killed = whole[1]
    rest = items(2, epoch=killed["epoch"], position=killed["position"])
    assert len(rest) == len(whole) - 2 and all(map(same, whole[2:], rest))
    ids = [one for rank in range(world_size) for b in items(0, rank=rank) for one in b["sample_id"]]
    assert len({*ids}) == len(ids) == len(train) - len(train) % world_size
    assert [b["sample_id"] for b in items(0)] != [b["sample_id"] for b in whole]  # another epoch


def test_its_state_is_kept_and_loaded(corpus: stemlode.OpenCorpus) -> None:
    dataset = corpus.split("train").torch()
    found = iter(dataset)
    next(found)
    state = dataset.state_dict()
    assert state == {"epoch": 0, "position": 1}
    other = corpus.split("train").torch()
    other.load_state_dict(state)
    assert next(iter(other))["sample_id"] == next(found)["sample_id"]
    other.set_epoch(4)
    assert other.state_dict() == {"epoch": 4, "position": 0}


def test_a_chunk_that_is_damaged_is_never_passed_over_in_silence(
    corpus_folder: Path, tmp_path: Path
) -> None:
    train = _damaged(corpus_folder, tmp_path / "corpus")
    bad = train.index["sample_id"][3].as_py()
    with pytest.raises(stemlode.Failed, match=rf"train-.*{bad}"):
        list(train)
    with pytest.raises(stemlode.Failed, match=bad):
        list(train.torch(shuffle=False))
    batches = [*train.torch(shuffle=False, batch_size=2, skip_bad=True)]
    assert [{*b["rejects"]} for b in batches[:3]] == [set(), {bad}, set()]
    assert len(batches[1]["sample_id"]) == len(batches[1]["audio"]["vocals"]) == 1


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda c: c.split("dev"), "no split is called 'dev'"),
        (lambda c: c.with_sources("guitar"), "no chunk has all of guitar; there are accompaniment"),
        (lambda c: c.torch(batch_size=0), "batch_size=0: must be above 0"),
        (lambda c: c.torch(seconds=float("nan")), "seconds=nan"),
        (lambda c: c.torch(rank=1), "rank=1: from 0 to 0"),
        (lambda c: c.torch(position=-1), "position=-1"),
        (lambda c: stemlode.open_corpus(Path(c.folder).parent), "is not a run folder"),
    ],
)
def test_what_cannot_be_is_one_line(corpus: stemlode.OpenCorpus, make: Any, says: str) -> None:
    with pytest.raises(stemlode.BadUsage, match=says):
        make(corpus)


def _count(folder: str, to: Any) -> None:
    found = stemlode.open_corpus(folder).split("valid")
    to.put((len(found), songs.chunk(found.folder, found[0].row)["vocals"].sum()))


@pytest.mark.slow
def test_it_works_in_processes_that_are_spawned(corpus: stemlode.OpenCorpus) -> None:
    context = multiprocessing.get_context("spawn")
    to = context.Queue()
    process = context.Process(target=_count, args=(corpus.folder, to))
    process.start()
    valid = corpus.split("valid")
    assert to.get(timeout=120) == (len(valid), valid[0].audio["vocals"].sum())
    process.join()
    dataset = corpus.split("train").torch(batch_size=4)
    loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    assert [b["sample_id"] for b in loader] == [b["sample_id"] for b in dataset]


def test_duckdb_asks_the_index_as_the_page_says(
    corpus: stemlode.OpenCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (PROJECT / "docs" / "elsewhere.md").read_text(encoding="utf-8")
    (statement,) = re.findall(r"^```sql\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(Path(corpus.folder).parent)
    found = duckdb.connect().execute(statement).fetchall()
    sizes = [(name, len(corpus.split(name))) for name in ("test", "train", "valid")]
    assert [row[:2] for row in found] == sizes
    assert sum(row[2] for row in found) == pytest.approx(corpus.hours)
