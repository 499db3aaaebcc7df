"""Evaluation: scores by the formula, on whole songs, with silence and broken files counted."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines import audio
from pipelines.runs import BadUsage, Failed
from tests.training.conftest import RATE, sing
from training import checkpoint, evaluate, songs
from training.chunks import Chunking
from training.corpus import open_corpus
from training.metrics import usdr
from training.separate import separate

Rows = dict[tuple[str, str], dict[str, Any]]


def _evaluate(model: Path, output: Path, *options: str) -> Rows:
    named = ["--checkpoint", str(model), "--output", str(output)]
    assert evaluate.main([*named, *options]) == 0
    table = pq.read_table(output / "songs.parquet")
    assert table.schema == evaluate.SCHEMA
    return {(row["song"], row["source"]): row for row in table.to_pylist()}


@pytest.fixture
def some(tmp_path: Path) -> Path:
    """A stems folder: three songs, one of them without vocals, one without a mixture."""
    root = tmp_path / "stems"
    for seed, name in enumerate(("a", "instrumental", "c")):
        vocals, accompaniment = sing(seed, 3)
        vocals *= name != "instrumental"
        parts = {"vocals": vocals, "accompaniment": accompaniment}
        if name != "c":
            parts["mixture"] = vocals + accompaniment
        for part, samples in parts.items():
            audio.write(f"{root}/{name}/{part}.wav", samples, RATE, "FLOAT")
    return root


def test_scores_are_those_of_what_separate_gives(
    some: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(some))
    trained = checkpoint.load(str(tiny_checkpoint))
    for seed, name in ((0, "a"), (2, "c")):
        vocals, accompaniment = sing(seed, 3)
        mixture = vocals + accompaniment
        estimate = separate(mixture, RATE, trained, Chunking())["vocals"]
        for source, truth, guess in (
            ("vocals", vocals, estimate),
            ("accompaniment", accompaniment, mixture - estimate),
        ):
            row = rows[name, source]
            assert row["usdr_mixture"] == pytest.approx(float(usdr(truth, mixture)), abs=1e-3)
            assert row["usdr_estimate"] == pytest.approx(float(usdr(truth, guess)), abs=1e-3)
            assert row["usdr_oracle"] > max(row["usdr_mixture"], row["usdr_estimate"]) + 3
            assert row["duration_s"] == 3
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    mean = (rows["a", "vocals"]["usdr_estimate"] + rows["c", "vocals"]["usdr_estimate"]) / 2
    assert record["scores"]["vocals_usdr_estimate"] == pytest.approx(mean, abs=1e-5)
    printed = capsys.readouterr().out
    assert "estimate" in printed and f"{mean:.2f}" in printed


def test_silent_stems_have_no_score_and_are_counted(
    some: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    rows = _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(some))
    silent = rows["instrumental", "vocals"]
    assert all(math.isnan(silent[column]) for column in evaluate.COLUMNS)
    assert math.isfinite(rows["instrumental", "accompaniment"]["usdr_estimate"])
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    heard = [rows[song, "accompaniment"]["usdr_mixture"] for song in ("a", "c")]
    assert record["scores"]["accompaniment_usdr_mixture"] == pytest.approx(sum(heard) / 2, abs=1e-5)
    counts = record["counts"]
    assert counts == {"songs": 3, "silent_vocals": 1, "silent_accompaniment": 0, "rejected": 0}


def test_broken_songs_are_rejected_and_the_rest_is_scored(
    some: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (some / "a" / "vocals.wav").write_bytes(b"RIFF")
    (some / "empty").mkdir()
    (some / "empty" / "notes.txt").write_text("no music")
    audio.write(f"{some}/short/vocals.wav", np.zeros((1, RATE), np.float32), RATE)
    audio.write(f"{some}/short/accompaniment.wav", np.zeros((1, 3 * RATE), np.float32), RATE)
    audio.write(f"{some}/alone/vocals.wav", sing(1, 1)[0], RATE)
    rows = _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(some))
    assert {song for song, _ in rows} == {"instrumental", "c"}
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["counts"]["rejected"] == 4
    assert "vocals.wav" in record["rejects"]["a"]
    assert record["rejects"]["empty"] == "no audio files"
    assert record["rejects"]["short"] == "its files last from 1.0 to 3.0 s"
    assert "holds vocals" in record["rejects"]["alone"]
    assert "left out a: " in capsys.readouterr().err


def test_nothing_but_broken_songs_fails(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "stems" / "a").mkdir(parents=True)
    (tmp_path / "stems" / "a" / "vocals.wav").write_bytes(b"")
    with pytest.raises(Failed, match="none of 1 songs"):
        _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(tmp_path / "stems"))


def test_a_split_of_a_corpus_is_put_together_again(
    corpus_folder: Path, stems: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    rows = _evaluate(tiny_checkpoint, tmp_path / "out", "--corpus", str(corpus_folder))
    data = open_corpus(str(corpus_folder))
    listed = songs.in_corpus(data, "valid")
    assert {song for song, _ in rows} == {song.name for song in listed}
    originals = [
        songs.Stems(p.name, {f.stem: str(f) for f in p.iterdir()}).load() for p in stems.iterdir()
    ]
    for chunks in listed:
        song = chunks.load()
        matches = [
            one
            for one in originals
            if one.mixture.shape == song.mixture.shape
            and np.allclose(one.source("vocals"), song.source("vocals"), atol=2**-15)
            and np.allclose(one.mixture, song.mixture, atol=2**-14)
        ]
        assert len(matches) == 1


def test_a_damaged_chunk_costs_its_song(
    corpus_folder: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(corpus_folder, tmp_path / "corpus"))
    before = songs.in_corpus(open_corpus(str(copy)), "train")
    shard, offset, _ = before[0].places[0]
    data = bytearray(Path(shard).read_bytes())
    data[offset + 600 : offset + 2000] = bytes(1400)
    Path(shard).write_bytes(data)
    options = ("--corpus", str(copy), "--split", "train")
    rows = _evaluate(tiny_checkpoint, tmp_path / "out", *options)
    assert len(rows) == 2 * (len(before) - 1)
    assert before[0].name not in {song for song, _ in rows}


def test_the_rest_is_summed_and_mono_is_spread(tmp_path: Path) -> None:
    vocals, accompaniment = sing(0, 1)
    audio.write(f"{tmp_path}/s/vocals.flac", vocals[:1], RATE)
    audio.write(f"{tmp_path}/s/drums.wav", 0.25 * accompaniment, RATE, "FLOAT")
    audio.write(f"{tmp_path}/s/bass.wav", 0.75 * accompaniment, RATE, "FLOAT")
    (song,) = songs.in_folder(str(tmp_path))
    found = song.load()
    assert np.allclose(found.source("accompaniment"), accompaniment, atol=1e-6)
    assert np.allclose(found.source("vocals"), vocals, atol=2**-15)
    assert found.source("vocals").shape[0] == 2
    assert np.allclose(found.mixture, found.source("vocals") + found.source("accompaniment"))
    assert np.allclose(found.source("drums"), 0.25 * accompaniment, atol=1e-6)
    assert np.allclose(found.source("no_drums"), found.mixture - 0.25 * accompaniment, atol=1e-6)
    with pytest.raises(audio.AudioError, match=r"needs guitar; holds acc.*, bass, drums, vocals"):
        found.source("guitar")


def test_a_finished_run_has_nothing_to_do(
    some: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(some))
    before = (tmp_path / "out" / "run.json").read_bytes()
    _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(some))
    assert "already complete" in capsys.readouterr().out
    assert (tmp_path / "out" / "run.json").read_bytes() == before


@pytest.mark.parametrize("song", ["so_easy", "song1_planetblupi_sung", "playlist"])
def test_real_multitracks_are_understood(test_data: Path, song: str) -> None:
    found = {s.name: s for s in songs.in_folder(str(test_data / "audio" / "multitrack"))}
    loaded = found[song].load()
    rest = loaded.mixture - loaded.source("vocals") - loaded.source("accompaniment")
    assert loaded.mixture.shape == rest.shape
    assert float(usdr(loaded.mixture, loaded.mixture - rest)) > 20  # mp3 keeps 22 dB


@pytest.mark.parametrize("song", ["trackswitch", "falcon"])
def test_what_holds_no_vocals_has_none(test_data: Path, song: str) -> None:
    found = {s.name: s for s in songs.in_folder(str(test_data / "audio" / "multitrack"))}
    with pytest.raises(audio.AudioError, match="needs vocals"):
        found[song].load().source("vocals")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--output", "/x"], "needs --checkpoint"),
        (["--checkpoint", "/x"], "needs --output"),
        (["--checkpoint", "/x", "--output", "/y"], "either --stems or --corpus"),
        (["--checkpoint", "M", "--output", "/y", "--stems", "/none"], "--stems /none"),
        (["--checkpoint", "M", "--output", "/y", "--corpus", "/none"], "/none does not exist"),
        (["--chekpoint", "/x"], "did you mean --checkpoint"),
    ],
)
def test_bad_usage_is_one_line(tiny_checkpoint: Path, arguments: list[str], says: str) -> None:
    with pytest.raises(BadUsage) as caught:
        evaluate.main([str(tiny_checkpoint) if word == "M" else word for word in arguments])
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_corpus_without_the_split_is_bad_usage(
    corpus_folder: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    options = ("--corpus", str(corpus_folder), "--split", "none")
    with pytest.raises(BadUsage, match="--split none"):
        _evaluate(tiny_checkpoint, tmp_path / "out", *options)
