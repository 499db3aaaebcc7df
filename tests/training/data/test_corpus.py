"""The corpus reader: every sample once an epoch, in an order that resumes; faults are counted."""

import errno
import io
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from pipelines.corpus.command import main as write_corpus
from pipelines.samples import sampling
from pipelines.samples.recordings import Facts, Recording, Shape
from stemlode import audio, files, retry
from stemlode.layouts.songs import Part
from stemlode.runs import BadUsage, Failed
from tests.training.conftest import OPTIONS, RATE, sing
from training.data import corpus, mixing, windows
from training.data.corpus import Windows
from training.data.windows import Bad, Window
from training.devices import World
from training.recipes import registry
from training.recipes.registry import RECIPES

# Three workers on two cores, to have more workers than shards in some split.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
RECIPE = registry.override(
    RECIPES["unet-vocals"],
    {"channels": (2, 3), "n_fft": 256, "hop_length": 192, "patch_frames": 16},
)
NATIVE = registry.override(RECIPES["cws-unet5-k1"], {"sample_rate": RATE})  # nothing to resample


def _ids(items: object) -> list[str]:
    return [item.sample_id for item in items if isinstance(item, Window)]  # type: ignore[attr-defined]


def _epochs(folder: Path, workers: int, count: int = 2, **options: object) -> list[list[str]]:
    data = corpus.open_corpus(str(folder))
    windows = Windows(data, "train", RECIPE, shuffle=True, **options)  # type: ignore[arg-type]
    loader = corpus.loader(windows, workers)
    return [_ids(loader) for _ in range(count)]


ROW = {"sample_id": "x", "sources": ["mixture", "vocals"], "scale": 1.0}
ROW |= {"song_id": "s", "track_ids": None}


def _train_ids(folder: Path) -> set[str]:
    index = pq.read_table(next(folder.glob("index-*"))).to_pylist()
    return {row["sample_id"] for row in index if row["split"] == "train"}


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_every_sample_comes_once_an_epoch(either: Path, workers: int) -> None:
    for epoch in _epochs(either, workers):
        assert Counter(epoch) == Counter(_train_ids(either))


def test_the_order_is_the_seeds_and_the_epochs_alone(
    corpus_folder: Path, parquet_folder: Path
) -> None:
    first, second = _epochs(corpus_folder, 0, seed=1)
    assert first != second
    assert first != sorted(first)
    assert first != _epochs(corpus_folder, 0, seed=2)[0]
    assert second == _epochs(corpus_folder, 0, count=1, seed=1, epoch=1)[0]
    for workers in (2, 3):
        assert [first, second] == _epochs(corpus_folder, workers, seed=1)
    assert [first, second] == _epochs(parquet_folder, 2, seed=1)


@pytest.mark.parametrize("ranks", [1, 2, 5])
@pytest.mark.parametrize("shuffle", [True, False])
def test_ranks_share_an_epoch_without_overlap_or_loss(
    corpus_folder: Path, ranks: int, shuffle: bool
) -> None:
    data = corpus.open_corpus(str(corpus_folder))
    parts = [
        Windows(data, "train", RECIPE, seed=3, epoch=4, shuffle=shuffle, world=World(rank, ranks))
        for rank in range(ranks)
    ]
    ids = [_ids(corpus.loader(part, workers=rank % 2)) for rank, part in enumerate(parts)]
    assert Counter(key for part in ids for key in part) == Counter(_train_ids(corpus_folder))
    assert max(map(len, ids)) - min(map(len, ids)) <= 1


@pytest.mark.parametrize(("before", "after", "skip"), [(0, 0, 1), (0, 2, 11), (2, 3, 5), (2, 0, 7)])
def test_an_epoch_goes_on_where_it_stopped(
    either: Path, before: int, after: int, skip: int
) -> None:
    """Killed in mid-epoch and started again, with any number of workers: the same audio follows."""
    data = corpus.open_corpus(str(either))
    recipe = registry.override(RECIPE, {"patch_frames": 8})

    def items(workers: int, **place: int) -> list[object]:
        windows = Windows(data, "train", recipe, seed=5, shuffle=True, crop=True, **place)
        loader = corpus.loader(windows, workers)
        return [*loader, *loader]  # and the epoch after

    whole, rest = items(before, epoch=1), items(after, epoch=1, skip=skip)
    assert rest[:skip] == [None] * skip and len(rest) == len(whole)
    for one, other in zip(whole[skip:], rest[skip:], strict=True):
        assert isinstance(one, Window) and isinstance(other, Window)
        assert one.sample_id == other.sample_id
        assert torch.equal(one.mixture, other.mixture)
        assert torch.equal(one.reference, other.reference)


def test_what_was_used_up_is_not_read_again(
    corpus_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, read = corpus.open_corpus(str(corpus_folder)), []
    read_range = files.read_range
    monkeypatch.setattr(
        files, "read_range", lambda *place: read.append(place) or read_range(*place)
    )
    rest = list(Windows(data, "train", RECIPE, shuffle=True, skip=8))
    assert len(read) == len(rest) - 8 == len(_ids(rest))


def test_crops_depend_on_seed_and_epoch_alone(corpus_folder: Path) -> None:
    data = corpus.open_corpus(str(corpus_folder))
    recipe = registry.override(RECIPE, {"patch_frames": 8})

    def crops(workers: int, **options: int) -> dict[str, torch.Tensor]:
        windows = Windows(data, "train", recipe, shuffle=True, crop=True, **options)
        items = [w for w in corpus.loader(windows, workers) if isinstance(w, Window)]
        assert {w.mixture.shape[1] for w in items} == {8 * 192}
        return {w.sample_id: w.mixture for w in items}

    one, later = crops(0), crops(0, epoch=1)
    for workers, cache_bytes in ((0, 10**7), (2, 10**7), (2, 10**5)):
        other = crops(workers, cache_bytes=cache_bytes)
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert not all(torch.equal(one[key], later[key]) for key in one)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cached_epoch_is_the_same_audio_and_not_decoded_again(
    corpus_folder: Path, workers: int
) -> None:
    data = corpus.open_corpus(str(corpus_folder))
    cached = Windows(data, "valid", RECIPE, cache_bytes=10**8)
    loader = corpus.loader(cached, workers)
    first = {w.sample_id: w for w in loader if isinstance(w, Window)}
    second = {w.sample_id: w for w in loader if isinstance(w, Window)}
    plain = {w.sample_id: w for w in Windows(data, "valid", RECIPE) if isinstance(w, Window)}
    assert cached.cached_bytes == sum(window.nbytes for window in plain.values())
    assert all(second[key] is first[key] for key in first)
    assert all(torch.equal(first[key].mixture, plain[key].mixture) for key in plain)


def test_a_cache_keeps_to_its_bytes(corpus_folder: Path) -> None:
    data = corpus.open_corpus(str(corpus_folder))
    one = next(iter(Windows(data, "train", RECIPE)))
    assert isinstance(one, Window)
    room = 5 * one.nbytes // 2
    cached = Windows(data, "train", RECIPE, shuffle=True, cache_bytes=room)
    for _ in range(3):
        assert _ids(cached)
        assert one.nbytes <= cached.cached_bytes <= room


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
    uris = {"mixture": f"{tmp_path}/mix.wav", "accompaniment": f"{tmp_path}/instrumental.wav"}
    parts = {name: (Part(uri),) for name, uri in uris.items()}
    recording = Recording("pair", "pair", "song", "a pair", parts, ("a", "b"))
    shape = Shape(12.0, RATE, 2)
    ((row, contents),) = sampling.samples(recording, "train", "g", shape, Facts())
    assert row["scale"] > 1
    window = windows.decode(row, contents, RECIPE)
    assert isinstance(window, Window)
    assert window.residual and window.song == "song a b"
    expected = audio.resample(accompaniment.mean(0), RATE, 8192)
    assert np.allclose(window.reference.numpy(), expected, atol=0.01)
    target = registry.override(RECIPE, {"target": "accompaniment"})
    direct = windows.decode(row, contents, target)
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
    """The bad ones of an epoch; all others come as in an undamaged corpus."""
    data = corpus.open_corpus(str(folder))
    items = list(corpus.loader(Windows(data, "train", RECIPE), workers))
    bad = [item for item in items if isinstance(item, Bad)]
    assert len(_ids(items)) + len(bad) == len(items) == data.usable("train", RECIPE.target)
    return bad


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


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_page_of_parquet_costs_one_sample(
    parquet_folder: Path, tmp_path: Path, workers: int
) -> None:
    folder = Path(shutil.copytree(parquet_folder, tmp_path / "corpus"))
    shard = sorted(folder.glob("train/*.parquet"))[0]
    data = bytearray(shard.read_bytes())
    facts = pq.ParquetFile(shard).metadata.row_group(0)
    columns = [facts.column(number) for number in range(facts.num_columns)]
    (mixture,) = (column for column in columns if column.path_in_schema == "mixture.flac")
    data[mixture.data_page_offset + mixture.total_compressed_size // 2] ^= 1
    shard.write_bytes(data)
    bad = _bad(folder, workers)
    assert bad and all(shard.name in item.reason for item in bad)
    assert len(bad) <= facts.num_rows


def test_a_shard_that_breaks_off_costs_its_end(damaged: Path) -> None:
    shard = sorted(damaged.glob("train/*.tar"))[0]
    half = shard.stat().st_size // 2 + 17
    shard.write_bytes(shard.read_bytes()[:half])
    index = pq.read_table(next(damaged.glob("index-*"))).to_pylist()
    lost = [row for row in index if row["shard"] == f"train/{shard.name}"]
    lost = [row for row in lost if row["offset"] + row["size"] > half]
    bad = _bad(damaged)
    assert {item.key for item in bad} == {row["sample_id"] for row in lost}
    assert all(shard.name in item.reason and "breaks off" in item.reason for item in bad)


def test_a_shard_that_is_gone_is_named_with_each_of_its_samples(
    either: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(either, tmp_path / "corpus"))
    shard = sorted(path for path in folder.glob("train/*"))[0]
    shard.unlink()
    index = pq.read_table(next(folder.glob("index-*"))).to_pylist()
    held = {row["sample_id"] for row in index if row["shard"] == f"train/{shard.name}"}
    bad = _bad(folder)
    assert {item.key for item in bad} == held
    assert {item.reason for item in bad} == {f"train/{shard.name}: No such file or directory"}


def test_shards_in_each_others_place_are_noticed(damaged: Path) -> None:
    first, second = sorted(damaged.glob("train/*.tar"))[:2]
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)
    bad = _bad(damaged)
    assert bad and not any("traceback" in item.reason for item in bad)


def test_reading_that_breaks_off_is_tried_again(
    corpus_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "WAITS_S", (0.0, 0.0))
    read_range, calls = files.read_range, [0]

    def flaky(*place: Any) -> bytes:
        calls[0] += 1
        if calls[0] in (3, 8, 9) or calls[0] >= 12:
            raise OSError(errno.ECONNRESET, "Connection reset by peer")
        return read_range(*place)

    monkeypatch.setattr(files, "read_range", flaky)
    items = list(Windows(corpus.open_corpus(str(corpus_folder)), "train", RECIPE))
    assert len(_ids(items)) == 8
    bad = [item for item in items if isinstance(item, Bad)]
    assert len(bad) == len(items) - 8
    assert all("Connection reset by peer" in item.reason for item in bad)


@pytest.mark.parametrize(
    ("contents", "says"),
    [({}, "lacks mixture.flac"), ({"mixture.flac": b"", "vocals.flac": b""}, "does not decode")],
)
def test_a_sample_that_is_none_is_bad(contents: dict[str, bytes], says: str) -> None:
    bad = windows.decode(ROW, contents, RECIPE)
    assert isinstance(bad, Bad) and says in bad.reason


def test_sources_of_different_length_are_bad() -> None:
    def flac(frames: int) -> bytes:
        buffer = io.BytesIO()
        soundfile.write(buffer, np.zeros(frames), 8192, format="FLAC")
        return buffer.getvalue()

    bad = windows.decode(ROW, {"mixture.flac": flac(100), "vocals.flac": flac(90)}, RECIPE)
    assert bad == Bad("x", "its sources differ in length")


def test_a_corpus_that_is_not_finished_is_refused(damaged: Path, tmp_path: Path) -> None:
    (damaged / "_SUCCESS").unlink()
    with pytest.raises(BadUsage, match=r"--corpus .*not finished"):
        corpus.open_corpus(str(damaged))
    with pytest.raises(BadUsage, match=r"--corpus .*does not exist"):
        corpus.open_corpus(str(tmp_path / "none"))
    with pytest.raises(BadUsage, match=r"--corpus .*not a run folder"):
        corpus.open_corpus(str(tmp_path))


def test_a_damaged_index_is_named(damaged: Path) -> None:
    index = next(damaged.glob("index-*"))
    index.write_bytes(b"PAR1")
    with pytest.raises(Failed, match=r"index-.*unreadable table"):
        corpus.open_corpus(str(damaged))


def test_a_workers_buffer_is_used_again_only_when_nothing_refers_to_it(corpus_folder: Path) -> None:
    """Any view keeps what it shows, though its window and all other windows are gone."""
    data = corpus.open_corpus(str(corpus_folder))
    plain = {w.sample_id: w for w in Windows(data, "train", NATIVE) if isinstance(w, Window)}
    held = {}
    loader = corpus.loader(Windows(data, "train", NATIVE), workers=1, ahead=2)
    for _ in range(3):
        for window in loader:
            assert isinstance(window, Window)
            assert torch.equal(window.mixture, plain[window.sample_id].mixture)
            if len(held) < 5:
                held.setdefault(window.sample_id, window.reference.numpy()[:1, 10:-10].T)
            del window
    for sample_id, view in held.items():
        np.testing.assert_array_equal(view, plain[sample_id].reference.numpy()[:1, 10:-10].T)
    buffers = loader.receiver.buffers  # type: ignore[attr-defined]
    assert 5 <= len(buffers) <= 5 + 2 + 3


@pytest.fixture(scope="module")
def several(stems: Path, corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second corpus: two of the songs, under other names, softer; shards are called the same."""
    root = tmp_path_factory.mktemp("several")
    for number in range(2):
        for source in (stems / f"song {number}").iterdir():
            samples, rate = soundfile.read(source)
            target = root / "stems" / f"other {number}" / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, samples / 2, rate)
    words = ["--stems", str(root / "stems"), "--output", str(root / "corpus"), *OPTIONS]
    assert write_corpus([*words, "--split", "train=1"]) == 0
    return root / "corpus"


@pytest.mark.parametrize("workers", [0, 2])
def test_several_corpora_are_read_as_one(corpus_folder: Path, several: Path, workers: int) -> None:
    alone = [corpus.open_corpora([str(folder)]) for folder in (corpus_folder, several)]
    both = corpus.open_corpora([str(corpus_folder), str(several)])
    for split in ("train", "valid"):
        found, parts = (
            {
                item.sample_id: item
                for data in given
                for item in corpus.loader(Windows(data, split, RECIPE), workers)
                if isinstance(item, Window)
            }
            for given in ([both], alone)
        )
        assert found.keys() == parts.keys() and found
        for name, window in found.items():
            assert torch.equal(window.mixture, parts[name].mixture)


def test_mixed_pieces_come_from_every_corpus(corpus_folder: Path, several: Path) -> None:
    both = corpus.open_corpora([str(corpus_folder), str(several)])
    recipe = registry.override(
        RECIPES["bsrnn-vocals-small"],
        {"others": ("accompaniment",), "sample_rate": 8000, "bands": (1000, 500), "batch_size": 64,
         "patch_seconds": 0.5},
    )  # fmt: skip
    drawn = mixing.Draws(both, recipe, seed=0)[0]
    assert not drawn.rejects
    (theirs,) = [{row["sample_id"] for row in corpus.open_corpus(str(several)).index.to_pylist()}]
    first = [name.split("+")[0] for name in drawn.sample_ids]
    assert 0 < sum(name in theirs for name in first) < len(first)


def test_corpora_that_do_not_go_together_are_refused(
    corpus_folder: Path, several: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadUsage, match=r"--corpus .*: song \w+ is in .* as well"):
        corpus.open_corpora([str(corpus_folder)] * 2)
    other = shutil.copytree(several, tmp_path / "other")
    record = json.loads((other / "run.json").read_text())
    record["options"]["window_seconds"] = 3.0
    (other / "run.json").write_text(json.dumps(record))
    with pytest.raises(BadUsage, match=r"made with --window-seconds 3, and .* with 6"):
        corpus.open_corpora([str(corpus_folder), str(other)])
