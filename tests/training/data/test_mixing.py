"""Mixing on the fly: the paper's simulation, drawn the same by everybody, from any collection."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.corpus import command as corpus_verb
from stemlode.runs import Failed
from training import checkpoint
from training.data import mixing, pools, windows
from training.data.corpus import Corpus, open_corpus
from training.data.examples import TrainingSet
from training.data.mixing import Draws, mix
from training.data.pools import Pool, backings, start_in_chunk
from training.devices import World
from training.loop import command
from training.recipes.answers import Judged
from training.recipes.bsrnn import BSRNNRecipe
from training.recipes.registry import RECIPES
from training.state import Progress

RATE = 8000
TINY = ["--sample-rate", str(RATE), "--n-fft", "256", "--hop-length", "128", "--features", "4"]
TINY += ["--bands", "1000,500,3000,1000", "--layers", "1", "--hidden", "4", "--mask-hidden", "4"]
TINY += ["--patch-seconds", "0.1", "--batch-size", "2", "--log-every", "1"]


def _recipe(**changes: Any) -> BSRNNRecipe:
    recipe = RECIPES["bsrnn-vocals"]
    assert isinstance(recipe, BSRNNRecipe)
    tiny = {"sample_rate": RATE, "n_fft": 256, "hop_length": 128, "patch_seconds": 0.1}
    bands = {"bands": (1000, 500, 3000, 1000), "batch_size": 4}
    return dataclasses.replace(recipe, **(tiny | bands | changes))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Five songs of four stems, each a constant that tells the song and the source apart, and a
    sixth of vocals and accompaniment alone."""
    root = tmp_path_factory.mktemp("mixing")
    for song in range(6):
        folder = root / "stems" / f"song {song}"
        folder.mkdir(parents=True)
        stems = ("vocals", "bass", "drums", "other") if song < 5 else ("vocals", "accompaniment")
        for number, stem in enumerate(stems):
            level = (1 + song + 10 * number) / 256
            soundfile.write(folder / f"{stem}.wav", np.full((2 * RATE, 2), level), RATE)
    return _corpus(root / "stems", root / "corpus")


def _corpus(stems: Path, output: Path, *options: str) -> Corpus:
    words = ["--stems", str(stems), "--output", str(output), "--sample-rate", str(RATE)]
    words += ["--chunk-seconds", "1", "--split", "train=1", "--window-seconds", "0", *options]
    assert corpus_verb.main(words) == 0
    return open_corpus(str(output))


def _with(data: Corpus, column: str, values: list[Any]) -> Corpus:
    place = data.index.column_names.index(column)
    kind = data.index.schema.field(column).type
    return Corpus(data.folder, data.index.set_column(place, column, pa.array(values, kind)))


gains_of = st.lists(st.one_of(st.just(0.0), st.floats(0.3, 3.2)), min_size=3, max_size=3)


@settings(deadline=None)
@given(gains_of, st.integers(0, 2**31))
def test_one_factor_brings_mixture_and_target_to_a_peak_of_one(
    gains: list[float], seed: int
) -> None:
    waveforms = torch.randn(1, 3, 2, 50, generator=torch.Generator().manual_seed(seed))
    mixture, target = mix(waveforms, torch.tensor([gains]))
    peak = max(float(mixture.abs().max()), float(target.abs().max()))
    assert peak == pytest.approx(1.0 if any(gains) else 0.0)
    true = sum(gain * part for gain, part in zip(gains, waveforms[0], strict=True))
    scale = float((mixture[0] * true).sum() / (true * true).sum()) if any(gains) else 1.0
    torch.testing.assert_close(mixture[0], true * scale, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(target[0], waveforms[0, 0] * gains[0] * scale, rtol=1e-4, atol=1e-5)


def test_each_source_comes_from_a_song_of_its_own_at_its_own_gain(data: Corpus) -> None:
    draws = Draws(data, _recipe(batch_size=64), seed=3)
    found = [draws[number] for number in range(4)]
    waveforms = torch.cat([drawn.waveforms for drawn in found])  # [256, 4, 2, 800]
    gains = torch.cat([drawn.gains for drawn in found])
    # Resampling changes nothing here, so a level tells the song: level = song + 10 * source.
    levels = (waveforms.mean((2, 3)) * 256).round().long() - 1
    songs = levels % 10
    whole = levels[:, 2] > 0  # those with four stems
    assert torch.equal(levels[whole] // 10, torch.arange(4).expand(int(whole.sum()), 4))
    assert {tuple(row.tolist()) for row in songs[whole][:, :2]} >= {(0, 1), (1, 0), (4, 2)}
    for source in range(4):
        counts = torch.bincount(songs[whole][:, source], minlength=6 if source == 0 else 5)
        assert int(counts.min()) > 15  # all songs, the sixth one's vocals among them
    # The sixth song's accompaniment is chosen as often as its windows are among all others'.
    assert int((~whole).sum()) == pytest.approx(256 * 2 / 12, abs=20)
    heard = gains[whole]
    assert float((heard == 0).float().mean()) == pytest.approx(0.1, abs=0.04)
    decibels = 20 * heard[heard > 0].log10()
    assert float(decibels.abs().max()) <= 10 + 1e-4
    assert float(decibels.min()) < -9 and float(decibels.max()) > 9
    assert float(decibels.mean()) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("workers", [0, 2])
def test_draws_depend_on_nothing_but_seed_and_number(data: Corpus, workers: int) -> None:
    recipe = _recipe()
    drawn = [Draws(data, recipe, seed=5)[number] for number in range(6)]
    progress = Progress(position=2)  # as after a kill
    training_set = TrainingSet(data, recipe, seed=5, workers=workers)
    batches = mixing.batches(training_set, progress, {})
    for number in range(2, 6):
        batch = next(batches)
        mixture, target = mix(drawn[number].waveforms, drawn[number].gains)
        assert batch.sample_ids == drawn[number].sample_ids
        assert torch.equal(batch.mixture, mixture) and torch.equal(batch.reference, target)
        assert progress.position == number + 1
    assert drawn[0].sample_ids != Draws(data, recipe, seed=6)[0].sample_ids


def test_ranks_share_a_batch(data: Corpus) -> None:
    recipe = _recipe()
    whole = Draws(data, recipe, seed=5)[1]
    shares = [Draws(data, recipe, 5, World(rank, 2))[1] for rank in (0, 1)]
    assert [share.sample_ids for share in shares] == [
        whole.sample_ids[0::2],
        whole.sample_ids[1::2],
    ]
    assert torch.equal(shares[1].waveforms, whole.waveforms[1::2])


def test_salient_windows_alone_are_drawn(data: Corpus) -> None:
    rows = data.index.to_pylist()
    salient = [{"vocals": [] if row["start_s"] else [0.0]} for row in rows]
    assert data.window_s == 0  # so the corpus was made
    pool = backings(_with(data, "salient", salient).of("train"), _recipe().checked_mixing())[0][
        "vocals"
    ]
    assert sorted(data.index["start_s"].take(pa.array(pool.rows)).to_pylist()) == [0.0] * 6
    assert pool.starts.tolist() == [0.0] * 6


@given(st.floats(0, 30), st.floats(3, 8), st.floats(0, 1), st.floats(0.5, 3), st.floats(1, 15))
def test_a_piece_lies_in_its_chunk_and_if_it_can_in_its_window(
    window: float, window_s: float, place: float, length: float, duration: float
) -> None:
    row = {"start_s": 12.0, "duration_s": duration}
    start = start_in_chunk(row, window, window_s, length, place)
    assert 0 <= start <= max(0.0, duration - length)
    if window >= 12 and window + window_s <= 12 + duration:
        assert window - 1e-6 <= 12 + start <= window + window_s - length + 1e-6
    anywhere = start_in_chunk(row, math.nan, window_s, length, place)
    assert anywhere == pytest.approx(place * max(0.0, duration - length))


def test_unpaired_collections_are_drawn_from(data: Corpus) -> None:
    """Song 0 lends its vocals alone, songs 1 and 2 one instrument each, the others nothing."""
    lent = {0: ["vocals"], 1: ["bass"], 2: ["drums", "other"]}
    songs = {song: number for number, song in enumerate(_songs_by_level(data))}
    sources = [lent.get(songs[row["song_id"]], []) for row in data.index.to_pylist()]
    draws = Draws(_with(data, "sources", sources), _recipe(), seed=0)
    levels = (draws[0].waveforms.mean((2, 3)) * 256).round().long()
    assert levels.tolist() == [[1, 12, 23, 33]] * 4


def _songs_by_level(data: Corpus) -> list[str]:
    """The song ids in the order of their vocals' levels."""
    levels = {}
    for row in data.index.to_pylist():
        piece = windows.read(data.folder, row, "vocals", 0, (1, 10), RATE)
        levels[row["song_id"]] = float(piece.mean())
    return sorted(levels, key=levels.__getitem__)


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("genre", ["Rock", "rock", "jazz", "jazz", None, None]),
        ("tempo", [90.0, 181.0, 120.0, 119.0, None, None]),
        ("key", ["C major", "C major", "A minor", "A minor", "D minor", None]),
    ],
)
def test_mixed_songs_are_alike_in_what_is_asked(
    data: Corpus, constraint: str, values: list[Any]
) -> None:
    songs = {song: number for number, song in enumerate(_songs_by_level(data))}
    known = pa.array([values[songs[row["song_id"]]] for row in data.index.to_pylist()])
    index = data.index.drop_columns([c for c in [constraint] if c in data.index.column_names])
    told = Corpus(data.folder, index.append_column(constraint, known))
    draws = Draws(told, _recipe(mix_constraint=constraint, batch_size=64), seed=0)
    found = torch.cat([draws[number].waveforms for number in range(3)])
    levels = (found.mean((2, 3)) * 256).round().long() - 1
    mixed = [row % 10 for row in levels if row[2] > 0]  # those of four stems
    assert {int(row[0]) for row in mixed} == set(range(6))
    for row in mixed:
        target, *others = row.tolist()
        if target < 4:
            assert {other // 2 for other in others} == {target // 2}
    free = {int(other) for row in mixed if row[0] == 5 for other in row[1:]}
    assert len(free) > 3  # nothing is known of the sixth song


def test_a_constraint_that_the_corpus_knows_nothing_of_is_named(data: Corpus) -> None:
    for constraint in ("tempo", "genre"):
        with pytest.raises(Failed, match=f"--mix-constraint {constraint}: the corpus knows"):
            Draws(data, _recipe(mix_constraint=constraint), seed=0)
    with pytest.raises(ValueError, match="mix_constraint"):
        _recipe(mix_constraint="mood")


def test_a_pair_without_vocals_is_no_source_of_them(data: Corpus) -> None:
    """Where a pair's residual is no vocal, mixture − accompaniment holds backing as well."""
    named = [["accompaniment", "mixture", "vocals"]] * len(data.index)
    assert len(pools.pool(data.index, named, "vocals", [None] * len(data.index)).rows)
    bare = [["accompaniment", "mixture"]] * len(data.index)
    assert not len(pools.pool(data.index, bare, "vocals", [None] * len(data.index)).rows)


@pytest.mark.slow
def test_shards_in_parquet_give_the_same(data: Corpus, tmp_path: Path) -> None:
    stems = Path(data.folder).parent / "stems"
    other = _corpus(stems, tmp_path / "corpus", "--format", "parquet")
    wanted, found = (Draws(corpus, _recipe(), seed=1)[0] for corpus in (data, other))
    assert found.sample_ids == wanted.sample_ids
    assert torch.equal(found.waveforms, wanted.waveforms)


def test_pieces_at_another_rate_and_past_the_end(data: Corpus) -> None:
    row = data.index.to_pylist()[0]
    level = float(windows.read(data.folder, row, "vocals", 0, (1, 10), RATE).mean())
    found = windows.read(data.folder, row, "vocals", 0.75, (2, 6000), 12_000)
    assert found.shape == (2, 6000) and not found[:, 3100:].any()
    assert found[:, 100:2900].mean() == pytest.approx(level, rel=1e-3)


def test_a_damaged_sample_is_noted_and_passed(data: Corpus, tmp_path: Path) -> None:
    shutil.copytree(data.folder, tmp_path / "corpus")
    broken = open_corpus(str(tmp_path / "corpus"))
    rows = broken.index.to_pylist()
    shard = tmp_path / "corpus" / rows[0]["shard"]
    content = bytearray(shard.read_bytes())
    bad = rows[0]
    content[bad["offset"] : bad["offset"] + bad["size"]] = bytes(bad["size"])
    shard.write_bytes(content)
    rejects: dict[str, str] = {}
    batches = mixing.batches(TrainingSet(broken, _recipe()), Progress(), rejects)
    ids = {key for _ in range(30) for ids in next(batches).sample_ids for key in ids.split("+")}
    assert set(rejects) == {bad["sample_id"]} and bad["sample_id"] not in ids
    assert len(ids) == len(rows) - 1
    shard.write_bytes(bytes(len(content)))
    with pytest.raises(Failed, match="in turn cannot be read"):
        next(batches)


def test_sources_that_the_corpus_lacks_are_named(data: Corpus) -> None:
    recipe = _recipe(target="guitar", others=("bass", "piano"))
    with pytest.raises(Failed, match=r"guitar, bass, piano.*accompaniment, bass.*--others"):
        Draws(data, recipe, seed=0)


def test_a_target_that_is_nowhere_salient_is_named(data: Corpus) -> None:
    """Another source's windows are no reason to ask for other sources."""
    rows = data.index.to_pylist()
    for row in rows:
        row["salient"] = [(k, [] if k == "vocals" else [row["start_s"]]) for k in row["sources"]]
    silent = dataclasses.replace(data, index=pa.Table.from_pylist(rows, data.index.schema))
    with pytest.raises(Failed, match="vocals is silent throughout its train split"):
        Draws(silent, _recipe(), seed=0)


def test_pools_weigh_windows_not_songs(data: Corpus) -> None:
    stems, ready = backings(data.of("train"), _recipe().checked_mixing())
    assert list(stems) == ["vocals", "bass", "drums", "other"]
    assert list(ready) == ["vocals", "accompaniment"]
    assert isinstance(stems["vocals"], Pool)
    assert (len(stems["vocals"].rows), len(stems["bass"].rows)) == (12, 10)
    assert len(ready["accompaniment"].rows) == 2


def _train(data: Corpus, output: Path, *options: str) -> dict[str, Any]:
    words = ["bsrnn-vocals", "--corpus", data.folder, "--output", str(output), *TINY, *options]
    assert command.main(words) == 0
    return json.loads((output / "run.json").read_text())


def test_a_killed_run_goes_on_with_the_next_draw(
    data: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--steps", "6", "--validate-every", "2")
    record = _train(data, tmp_path / "whole", *options, "--workers", "0")
    assert record["counts"]["steps"] == 6
    judge, calls = BSRNNRecipe.judge, 0

    def dying(*arguments: Any) -> Judged:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return judge(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(BSRNNRecipe, "judge", dying)
        _train(data, tmp_path / "killed", *options, "--workers", "0")
    _train(data, tmp_path / "killed", *options, "--workers", "0")
    whole, killed = (
        checkpoint.read_tensors(str(tmp_path / name / "last/state.safetensors"))[0]
        for name in ("whole", "killed")
    )
    assert all(torch.equal(killed[name], whole[name]) for name in whole)


def test_without_others_songs_are_learnt_as_they_are(data: Corpus, tmp_path: Path) -> None:
    record = _train(data, tmp_path / "run", "--steps", "2", "--others", "", "--workers", "0")
    assert record["counts"]["steps"] == 2
    assert checkpoint.load(str(tmp_path / "run")).recipe.others == ()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def ramps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    """Two songs whose vocals rise from song to song and from sample to sample, in chunks of a
    second and uncut."""
    root = tmp_path_factory.mktemp("ramps")
    for song in range(2):
        folder = root / "stems" / f"song {song}"
        folder.mkdir(parents=True)
        time = np.arange(round(3.5 * RATE)) / RATE
        vocals = 0.1 * (song + 1) + 0.05 * time + 0.02 * np.sin(2 * np.pi * 440 * time)
        for name, samples in (("vocals", vocals), ("accompaniment", 0.1 * np.cos(300 * time))):
            soundfile.write(folder / f"{name}.wav", np.stack([samples] * 2, 1), RATE)
    found = {}
    for name, seconds in (("cut", "1"), ("whole", "60")):
        words = ["--stems", str(root / "stems"), "--output", str(root / name), "--split", "train=1"]
        words += ["--chunk-seconds", seconds, "--window-seconds", "0", "--flac-bits", "24"]
        assert corpus_verb.main([*words, "--sample-rate", str(RATE)]) == 0
        found[name] = open_corpus(str(root / name))
    return found


@pytest.mark.parametrize("rate", [RATE, 11_025])
@pytest.mark.parametrize("window", [math.nan, 1.4])
@pytest.mark.parametrize("place", [0.0, 0.45, 0.97])
def test_a_piece_crosses_from_a_chunk_into_the_next(
    ramps: dict[str, Corpus], rate: int, window: float, place: float
) -> None:
    """As it lies in the uncut song, at the recipe's rate too; it is not moved back."""
    cut, whole = (ramps[name].index.combine_chunks() for name in ("cut", "whole"))
    chunks = pools.Chunks(ramps["cut"].folder, cut, 0.9)
    for number, row in enumerate(cut.to_pylist()):
        assert (chunks.next[number] >= 0) == (row["start_s"] < 3)
        if row["start_s"] != 1:
            continue
        shape = (2, round(0.5 * rate))
        found = chunks.piece(number, window, "vocals", place, shape, rate)
        begin = 1 + place if math.isnan(window) else window + place * (0.9 - 0.5)
        (song,) = [one for one in whole.to_pylist() if one["song_id"] == row["song_id"]]
        wanted = windows.read(ramps["whole"].folder, song, "vocals", begin, shape, rate)
        inside = slice(40, -40)  # a resampler's ends hear what lies beyond
        assert torch.allclose(found[:, inside], wanted[:, inside], atol=1e-3)
        alone = pools.Chunks(ramps["cut"].folder, cut, 0.9, across=False)
        held = alone.piece(number, window, "vocals", place, shape, rate)
        latest = windows.read(ramps["whole"].folder, song, "vocals", min(1.5, begin), shape, rate)
        if not math.isnan(window) and rate == RATE:
            assert torch.allclose(held[:, inside], latest[:, inside], atol=1e-3)


def test_windows_that_reach_into_the_next_chunk_count_once(ramps: dict[str, Corpus]) -> None:
    index, every = ramps["cut"].index.combine_chunks(), (0.0, 0.45, 0.9, 1.35)
    salient = []
    for row in index.to_pylist():
        begin, end = row["start_s"], row["start_s"] + 1
        salient.append({"vocals": [s for s in every if s < end and s + 0.9 > begin]})
    told = _with(Corpus(ramps["cut"].folder, index, 0.9), "salient", salient).index
    held, nothing = told["sources"].to_pylist(), [None] * len(told)
    chunks = pools.Chunks(ramps["cut"].folder, told, 0.9)
    once = pools.pool(told, held, "vocals", nothing, chunks)
    assert sorted(once.starts) == sorted([*every, *every])
    assert len(pools.pool(told, held, "vocals", nothing).starts) > len(once.starts)
    starts: list[float] = []
    for number, start in zip(once.rows, once.starts, strict=True):
        row, after = chunks.row(int(number)), chunks.row(int(chunks.next[number]))
        for place in np.linspace(0, 1, 11):
            starts.append(start_in_chunk(row, start, 0.9, 0.5, place, after["duration_s"]))
    assert max(starts.count(start) for start in starts) <= 4  # none is where many pieces begin
