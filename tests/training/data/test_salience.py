"""Salience beside a corpus falls on the columns of the STFT, in any chunk."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from pipelines.corpus import command
from stemlode import runs, schemas
from stemlode.runs import BadUsage, Failed
from stemlode.shards import salience
from stemlode.shards.salience import HOP_LENGTH, SAMPLE_RATE
from tests.training.salience_folder import write_salience
from training.data import corpus, windows
from training.data.salience import Salience, open_salience
from training.models import spectrogram

RATE = 44_100
FRAME = 2400  # of the song: in its third chunk


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One song of 40 s in chunks of 12 s; its vocals are one click on a frame's centre."""
    root = tmp_path_factory.mktemp("click")
    (root / "stems" / "song").mkdir(parents=True)
    vocals = np.zeros((RATE * 40, 1), np.float32)
    vocals[FRAME * HOP_LENGTH * RATE // SAMPLE_RATE] = 0.9
    soundfile.write(root / "stems" / "song" / "vocals.flac", vocals, RATE)
    soundfile.write(root / "stems" / "song" / "accompaniment.flac", vocals[::-1] * 0.5, RATE)
    flags = ["--window-seconds", "0", "--split", "train=1", "--sample-rate", str(RATE)]
    folder = root / "corpus"
    assert command.main(["--stems", str(root / "stems"), "--output", str(folder), *flags]) == 0
    return folder


def beside(corpus_folder: Path, folder: Path, at: int, *, targets: str = "single") -> Path:
    """Salience with one mark in a frame of the song."""
    return write_salience(
        corpus_folder, folder, lambda frame: {100: float(frame == at)}, targets=targets
    )


def third(folder: Path) -> tuple[corpus.Corpus, dict[str, Any]]:
    opened = corpus.open_corpus(str(folder))
    (row,) = [row for row in opened.index.to_pylist() if row["start_s"] == 24.0]
    return opened, row


@pytest.mark.parametrize("wanted", [0, 300, 50_000, 80_000])
def test_an_impulse_falls_on_the_same_column_of_both(
    corpus_folder: Path, tmp_path: Path, wanted: int
) -> None:
    opened, row = third(corpus_folder)
    found = open_salience(str(beside(corpus_folder, tmp_path / "salience", FRAME)), opened)
    samples = 432 * HOP_LENGTH
    start = found.start_of(row["sample_id"], wanted)
    assert start <= max(wanted, 255)
    shape = (1, 12 * SAMPLE_RATE)
    chunk = windows.read(opened.folder, row, "vocals", 0.0, shape, SAMPLE_RATE)
    patch = chunk[:, start : start + samples]
    given = spectrogram.stft(patch, 1024, HOP_LENGTH).abs()[0].sum(0)
    target = found.patch(row["sample_id"], start, 432)
    assert target.shape == (salience.ROWS, 432) and target.dtype == torch.float32
    assert int(given.argmax()) == int(target[100].argmax())
    assert target[100].max() == 1 and target.sum() == 1
    # Half a hop aside, the neighbour would do as well: the centre is met to the sample.
    around = given[target[100].argmax() + torch.tensor([-1, 1])]
    assert torch.allclose(around[0], around[1], rtol=1e-2)


def test_columns_beyond_the_chunk_are_zero(corpus_folder: Path, tmp_path: Path) -> None:
    opened, row = third(corpus_folder)
    found = open_salience(str(beside(corpus_folder, tmp_path / "salience", FRAME)), opened)
    name = row["sample_id"]
    first = found.start_of(name, 0)
    whole = found.patch(name, first, 1033)
    longer = found.patch(name, first - 3 * HOP_LENGTH, 1100)
    assert torch.equal(longer[:, 3:1036], whole) and longer.sum() == whole.sum()
    assert found.patch(name, first + 2000 * HOP_LENGTH, 8).sum() == 0
    with pytest.raises(ValueError, match="frame's centre"):
        found.patch(name, first + 1, 8)
    with pytest.raises(KeyError):
        found.patch("another", first, 8)
    assert name in found and "another" not in found
    assert torch.equal(pickle.loads(pickle.dumps(found)).patch(name, first, 1033), whole)


def test_salience_of_another_corpus_is_refused(corpus_folder: Path, tmp_path: Path) -> None:
    opened, _ = third(corpus_folder)
    moved = tmp_path / "moved"
    shutil.copytree(corpus_folder, moved)
    folder = beside(corpus_folder, tmp_path / "salience", FRAME)
    assert open_salience(str(folder), corpus.open_corpus(str(moved))).targets == "single"
    record = (moved / runs.RECORD).read_text()
    (moved / runs.RECORD).write_text(record.replace('"train/', '"train/more'))
    other = corpus.Corpus(str(moved), opened.index)
    with pytest.raises(BadUsage, match="made of another corpus"):
        open_salience(str(folder), other)
    with pytest.raises(BadUsage, match="holds a run of corpus, not of salience"):
        open_salience(str(corpus_folder), opened)
    with pytest.raises(BadUsage, match=r"--salience .*does not exist"):
        open_salience(str(tmp_path / "nothing"), opened)


def test_damage_is_said(corpus_folder: Path, tmp_path: Path) -> None:
    opened, row = third(corpus_folder)
    folder = beside(corpus_folder, tmp_path / "salience", FRAME)
    found = open_salience(str(folder), opened)
    shard = folder / "train" / "train-00000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:600])
    with pytest.raises(windows.UNREADABLE):
        found.patch(row["sample_id"], found.start_of(row["sample_id"], 0), 8)
    table = next(folder.glob("salience-*.parquet"))
    table.write_bytes(b"none")
    with pytest.raises(Failed, match="unreadable table"):
        open_salience(str(folder), opened)


def test_it_is_small_to_hold() -> None:
    table = schemas.SALIENCE.empty_table().select(["sample_id"])
    assert "any" not in Salience("folder", table, "swift-f0", "single")
