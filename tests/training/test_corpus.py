"""The corpus reader: every sample once an epoch, in an order that resumes; faults are counted."""

import io
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from pipelines import audio, recordings
from pipelines.recordings import Recording, Shape
from pipelines.runs import BadUsage, Failed
from tests.training.conftest import RATE, sing
from training import corpus, recipes
from training.corpus import Bad, Window, Windows
from training.recipes import RECIPES

# Three workers on two cores, to have more workers than shards in some split.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
RECIPE = recipes.override(
    RECIPES["unet-vocals"],
    {"channels": (2, 3), "n_fft": 256, "hop_length": 192, "patch_frames": 16},
)


def _ids(items: object) -> list[str]:
    return [item.sample_id for item in items if isinstance(item, Window)]  # type: ignore[attr-defined]


def _epochs(folder: Path, workers: int, count: int = 2, **options: object) -> list[list[str]]:
    data = corpus.open_corpus(str(folder))
    windows = Windows(data, "train", RECIPE, shuffle=True, **options)  # type: ignore[arg-type]
    loader = corpus.loader(windows, workers)
    return [_ids(loader) for _ in range(count)]


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_every_sample_comes_once_an_epoch(corpus_folder: Path, workers: int) -> None:
    index = pq.read_table(next(corpus_folder.glob("index-*"))).to_pylist()
    expected = {row["sample_id"] for row in index if row["split"] == "train"}
    for epoch in _epochs(corpus_folder, workers):
        assert Counter(epoch) == Counter(expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_order_is_the_seeds(corpus_folder: Path, workers: int) -> None:
    first, second = _epochs(corpus_folder, workers, seed=1)
    assert [first, second] == _epochs(corpus_folder, workers, seed=1)
    assert first != second
    assert first != _epochs(corpus_folder, workers, seed=2)[0]
    assert second == _epochs(corpus_folder, workers, count=1, seed=1, epoch=1)[0]


@pytest.mark.parametrize(("workers", "skip"), [(0, 1), (0, 11), (2, 5), (3, 11)])
def test_what_was_used_up_can_be_skipped(corpus_folder: Path, workers: int, skip: int) -> None:
    data = corpus.open_corpus(str(corpus_folder))
    all_of_it = list(corpus.loader(Windows(data, "train", RECIPE, shuffle=True), workers))
    windows = Windows(data, "train", RECIPE, shuffle=True, skip=skip)
    rest = list(corpus.loader(windows, workers))
    assert len(rest) == len(all_of_it)
    assert _ids(rest[skip:]) == _ids(all_of_it[skip:])
    assert None in rest[:skip] or workers > skip


def test_crops_depend_on_seed_and_epoch_alone(corpus_folder: Path) -> None:
    data = corpus.open_corpus(str(corpus_folder))
    recipe = recipes.override(RECIPE, {"patch_frames": 8})

    def crops(workers: int, **options: int) -> dict[str, torch.Tensor]:
        windows = Windows(data, "train", recipe, shuffle=True, crop=True, **options)
        items = [w for w in corpus.loader(windows, workers) if isinstance(w, Window)]
        assert {w.mixture.shape[1] for w in items} == {8 * 192}
        return {w.sample_id: w.mixture for w in items}

    one, other, later = crops(0), crops(2, cache_bytes=10**7), crops(0, epoch=1)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not all(torch.equal(one[key], later[key]) for key in one)


def test_a_cached_epoch_is_the_same_audio(corpus_folder: Path) -> None:
    data = corpus.open_corpus(str(corpus_folder))
    cached = Windows(data, "valid", RECIPE, cache_bytes=10**8)
    first = {w.sample_id: w for w in cached if isinstance(w, Window)}
    second = {w.sample_id: w for w in cached if isinstance(w, Window)}
    assert cached.cached_bytes > 0
    assert all(second[key] is first[key] for key in first)


def test_decoded_is_the_song_mono_at_the_recipes_rate(corpus_folder: Path, stems: Path) -> None:
    data = corpus.open_corpus(str(corpus_folder))
    rows = sorted(data.index.to_pylist(), key=lambda row: (row["song_id"], row["start_s"]))
    split = rows[0]["split"]
    windows = {w.sample_id: w for w in Windows(data, split, RECIPE) if isinstance(w, Window)}
    found = windows[rows[0]["sample_id"]]
    for seed in range(10):
        vocals, accompaniment = (x[:, :RATE] for x in sing(seed, 2 + seed / 4))
        expected = audio.resample((vocals + accompaniment).mean(0), RATE, 8192)
        if len(expected) == found.mixture.shape[1] and np.allclose(
            expected, found.mixture[0].numpy(), atol=2e-3
        ):
            reference = audio.resample(vocals.mean(0), RATE, 8192)
            assert np.allclose(reference, found.reference[0].numpy(), atol=2e-3)
            assert not found.residual  # isolated vocals exist
            return
    pytest.fail("the first chunk is of none of the songs")


def test_a_pairs_vocals_are_a_residual_at_their_true_level(tmp_path: Path) -> None:
    vocals, accompaniment = sing(1, 1.0)
    vocals, accompaniment = 20 * vocals, 20 * accompaniment  # needs a scale of several
    for name, samples in (("mix", vocals + accompaniment), ("instrumental", accompaniment)):
        soundfile.write(tmp_path / f"{name}.wav", samples.T, RATE, subtype="FLOAT")
    recording = Recording(
        "pair",
        "pair",
        "song",
        {"mixture": f"{tmp_path}/mix.wav", "accompaniment": f"{tmp_path}/instrumental.wav"},
        ("a", "b"),
    )
    ((row, contents),) = recordings.samples(recording, "train", "g", Shape(12.0, RATE, 2))
    assert row["scale"] > 1
    window = corpus.decode({"__key__": row["sample_id"], **contents}, RECIPE)
    assert isinstance(window, Window)
    assert window.residual and window.song == "song a b"
    expected = audio.resample(accompaniment.mean(0), RATE, 8192)
    assert np.allclose(window.reference.numpy(), expected, atol=0.01)
    target = recipes.override(RECIPE, {"target": "accompaniment"})
    direct = corpus.decode({"__key__": row["sample_id"], **contents}, target)
    assert isinstance(direct, Window) and not direct.residual
    assert torch.equal(direct.reference, window.reference)


def test_no_song_is_on_two_sides(corpus_folder: Path) -> None:
    index = corpus.open_corpus(str(corpus_folder)).index
    songs = {
        split: {row["song_id"] for row in index.to_pylist() if row["split"] == split}
        for split in ("train", "valid", "test")
    }
    assert all(songs.values())
    assert not songs["train"] & songs["valid"] and not songs["train"] & songs["test"]
    leaking = index.to_pylist()
    leaking[0]["split"] = "valid" if leaking[0]["split"] == "train" else "train"
    with pytest.raises(Failed, match=r"has split_group \w+ in \w+ and \w+"):
        corpus.check_splits(index.from_pylist(leaking, index.schema))


@pytest.fixture
def damaged(corpus_folder: Path, tmp_path: Path) -> Path:
    """A copy of the corpus, to be damaged."""
    return Path(shutil.copytree(corpus_folder, tmp_path / "corpus"))


def _bad(folder: Path, workers: int = 0) -> list[Bad]:
    windows = Windows(corpus.open_corpus(str(folder)), "train", RECIPE)
    items = list(corpus.loader(windows, workers))
    assert _ids(items)  # the rest of the corpus is untouched
    return [item for item in items if isinstance(item, Bad)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_that_does_not_decode_is_skipped_and_named(damaged: Path, workers: int) -> None:
    index = pq.read_table(next(damaged.glob("index-*"))).to_pylist()
    row = next(row for row in index if row["split"] == "train")
    shard = damaged / row["shard"]
    data = bytearray(shard.read_bytes())
    start = data.find(b"fLaC", data.find(b".mixture.flac", row["offset"]))
    data[start : start + 4096] = bytes(4096)
    shard.write_bytes(data)
    (bad,) = _bad(damaged, workers)
    assert bad.key == row["sample_id"] and "does not decode" in bad.reason


def test_a_shard_that_breaks_off_costs_its_end(damaged: Path) -> None:
    shard = sorted(damaged.glob("train/*.tar"))[0]
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2 + 17])
    bad = _bad(damaged)
    assert bad and any(item.key == str(shard) for item in bad)


def test_a_shard_that_is_gone_is_named(damaged: Path) -> None:
    shard = sorted(damaged.glob("train/*.tar"))[0]
    shard.unlink()
    (bad,) = _bad(damaged)
    assert bad == Bad(str(shard), "No such file or directory")


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ({}, "lacks json"),
        ({"json": b"{"}, "Expecting"),
        ({"json": b"[]"}, ""),
        ({"json": json.dumps({"sources": ["mixture", "vocals"]}).encode()}, "lacks mixture.flac"),
    ],
)
def test_a_sample_that_is_none_is_bad(contents: dict[str, bytes], says: str) -> None:
    bad = corpus.decode({"__key__": "x", **contents}, RECIPE)
    assert isinstance(bad, Bad) and says in bad.reason


def test_sources_of_different_length_are_bad() -> None:
    def flac(frames: int) -> bytes:
        buffer = io.BytesIO()
        soundfile.write(buffer, np.zeros(frames), 8192, format="FLAC")
        return buffer.getvalue()

    facts = {"sources": ["mixture", "vocals"], "scale": 1.0, "song_id": "s", "track_ids": None}
    sample = {"json": json.dumps(facts).encode(), "mixture.flac": flac(100)}
    bad = corpus.decode({"__key__": "x", **sample, "vocals.flac": flac(90)}, RECIPE)
    assert bad == Bad("x", "its sources differ in length")


def test_a_corpus_that_is_not_finished_is_refused(damaged: Path, tmp_path: Path) -> None:
    (damaged / "_SUCCESS").unlink()
    with pytest.raises(BadUsage, match=r"--corpus .*not finished"):
        corpus.open_corpus(str(damaged))
    with pytest.raises(BadUsage, match=r"--corpus .*does not exist"):
        corpus.open_corpus(str(tmp_path / "none"))
    with pytest.raises(BadUsage, match=r"--corpus .*no run folder"):
        corpus.open_corpus(str(tmp_path))


def test_a_damaged_index_is_named(damaged: Path) -> None:
    index = next(damaged.glob("index-*"))
    index.write_bytes(b"PAR1")
    with pytest.raises(Failed, match=r"index-.*unreadable index"):
        corpus.open_corpus(str(damaged))
