"""Evaluation: scores by the papers, on whole songs of any layout, silence and faults counted."""

import json
import math
import shutil
import statistics
import warnings
from pathlib import Path
from typing import Any

import mir_eval.separation
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
import yaml

from stemlode import audio, runs
from stemlode.runs import BadUsage, Failed
from tests.training.conftest import RATE, sing
from training import checkpoint
from training.checkpoint import Checkpoint
from training.data.corpus import open_corpus
from training.evaluation import command, scoring, spectra
from training.evaluation import references as evaluation_references
from training.evaluation import table as evaluation_table
from training.evaluation.bsseval import bss_eval
from training.models.metrics import frame_sdr, usdr
from training.recipes import registry
from training.recipes.chunks import Chunking
from training.separation.separate import separate

Rows = dict[tuple[str, str], dict[str, Any]]


def _evaluate(model: Path | list[Path], output: Path, *options: str) -> Rows:
    models = model if isinstance(model, list) else [model]
    named = [word for path in models for word in ("--checkpoint", str(path))]
    assert command.main([*named, "--output", str(output), *options]) == 0
    table = pq.read_table(output / "songs.parquet")
    assert table.schema == command.SCHEMA
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
    assert "usdr_estimate" in printed and f"{mean:.2f}" in printed


def test_silent_stems_have_no_score_and_are_counted(
    some: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    rows = _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(some))
    silent = rows["instrumental", "vocals"]
    scored = [c.name for c in evaluation_table.COLUMNS if c.metric in ("usdr", "csdr")]
    assert all(math.isnan(silent[column]) for column in scored)
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
    (some / "empty" / "notes.txt").write_text("no music")  # so this is no song
    for part, samples in zip(("vocals", "mixture"), sing(3, 1), strict=True):
        audio.write(f"{some}/unlike/{part}.wav", samples, RATE)
    audio.write(f"{some}/unlike/drums.wav", sing(4, 1)[0], RATE)
    vocals, drums = 4 * sing(5, 4)[0], sing(5, 4)[1]
    for part, samples in (("mixture", vocals + drums), ("vocals", vocals[:, :RATE]), ("d", drums)):
        audio.write(f"{some}/cut/{part}.wav", samples, RATE, "FLOAT")
    audio.write(f"{some}/alone\nand\x1b[2Jodd/vocals.wav", sing(1, 1)[0], RATE)
    rows = _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(some))
    assert {song for song, _ in rows} == {"instrumental", "c"}
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["counts"]["rejected"] == 4
    assert record["rejects"]["cut"].endswith("dB); vocals.wav ends at 1.0 of 4.0 s")
    assert "vocals.wav" in record["rejects"]["a"]
    assert "do not sum to the mixture" in record["rejects"]["unlike"]
    assert "holds vocals" in record["rejects"]["alone\nand\x1b[2Jodd"]
    errors = capsys.readouterr().err
    assert "left out a: " in errors and "\x1b[2J" not in errors
    assert "left out alone\\nand\\x1b[2Jodd: " in errors


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
    listed = evaluation_references.in_corpus(data, "valid")
    assert {song for song, _ in rows} == {song.name for song in listed}
    originals = [song.load() for song in evaluation_references.in_folder(str(stems))]
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
    before = evaluation_references.in_corpus(open_corpus(str(copy)), "train")
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
    (song,) = evaluation_references.in_folder(str(tmp_path))
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


@pytest.mark.slow
@pytest.mark.parametrize("song", ["so_easy", "song1_planetblupi_sung", "playlist", "falcon"])
def test_real_multitracks_are_understood(test_data: Path, song: str) -> None:
    found = {
        s.name: s for s in evaluation_references.in_folder(str(test_data / "audio" / "multitrack"))
    }
    loaded = found[song].load()
    rest = loaded.mixture - loaded.source("vocals") - loaded.source("accompaniment")
    assert loaded.mixture.shape == rest.shape
    assert float(usdr(loaded.mixture, loaded.mixture - rest)) > 15  # MP3 keeps 22 dB, AAC 15


@pytest.mark.slow
def test_what_holds_no_vocals_has_none(test_data: Path) -> None:
    found = {
        s.name: s for s in evaluation_references.in_folder(str(test_data / "audio" / "multitrack"))
    }
    with pytest.raises(audio.AudioError, match="needs vocals"):
        found["trackswitch"].load().source("vocals")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--output", "/x"], "needs --checkpoint"),
        (["--checkpoint", "/x"], "needs --output"),
        (["--checkpoint", "/x", "--output", "/y"], "either --stems or --corpus"),
        (["--checkpoint", "M", "--output", "/y", "--stems", "/none"], "--stems /none"),
        (["--checkpoint", "M", "--output", "/y", "--corpus", "/none"], "/none does not exist"),
        (["--checkpoint", "M", "--output", "/y", "--stems", "/x", "--metrics", "sdr"], "sdr"),
        (["--checkpoint", "M", "--output", "/y", "--corpus", "/x", "--layout", "ikala"], "--stems"),
        (["--chekpoint", "/x"], "did you mean --checkpoint"),
    ],
)
def test_bad_usage_is_one_line(tiny_checkpoint: Path, arguments: list[str], says: str) -> None:
    with pytest.raises(BadUsage) as caught:
        command.main([str(tiny_checkpoint) if word == "M" else word for word in arguments])
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_corpus_without_the_split_is_bad_usage(
    corpus_folder: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    options = ("--corpus", str(corpus_folder), "--split", "none")
    with pytest.raises(BadUsage, match="--split none"):
        _evaluate(tiny_checkpoint, tmp_path / "out", *options)


def test_every_metric_is_the_papers(some: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    options = ("--stems", str(some), "--metrics", "all")
    rows = _evaluate(tiny_checkpoint, tmp_path / "out", *options)
    trained = checkpoint.load(str(tiny_checkpoint))
    vocals, accompaniment = sing(0, 3)
    mixture = vocals + accompaniment
    found = separate(mixture, RATE, trained, Chunking())
    references = torch.from_numpy(np.stack((vocals, accompaniment)))
    estimates = torch.from_numpy(np.stack((found["vocals"], found["accompaniment"])))
    frames = frame_sdr(references, estimates, RATE)
    ratios = bss_eval(references, estimates, RATE)
    known = references.mean(1).numpy(), estimates.mean(1).numpy()
    mono = np.broadcast_to(mixture.mean(0), known[0].shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sdr, sir, sar, _ = mir_eval.separation.bss_eval_sources(*known, False)
        before = mir_eval.separation.bss_eval_sources(known[0], mono, False)[0]
    for place, source in enumerate(("vocals", "accompaniment")):
        row = rows["a", source]
        expected = {
            "csdr_estimate": np.median(frames[place]),
            "sdr_frame_mean": np.mean(frames[place]),
            "sir_frame_median": np.median(ratios.sir[place]),
            "sar_frame_mean": np.mean(ratios.sar[place]),
            "mir_sdr": sdr[place],
            "mir_nsdr": sdr[place] - before[place],
            "mir_sir": sir[place],
            "mir_sar": sar[place],
        }
        for column, value in expected.items():
            assert row[column] == pytest.approx(value, abs=1e-2), column
        assert row["csdr_oracle"] > row["csdr_mixture"]
        assert row["frames"] == 3 and row["silent_frames"] == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    heard = [rows[song, "vocals"] for song in ("a", "c")]  # not the one without vocals
    nsdr = [row["mir_nsdr"] for row in heard]
    assert record["statistics"]["vocals"]["mir_nsdr"] == {
        "mean": pytest.approx(statistics.fmean(nsdr), abs=1e-5),
        "sd": pytest.approx(statistics.stdev(nsdr), abs=1e-5),
        "min": pytest.approx(min(nsdr), abs=1e-5),
        "max": pytest.approx(max(nsdr), abs=1e-5),
        "median": pytest.approx(statistics.median(nsdr), abs=1e-5),
        "songs": 2,
    }
    median = statistics.median(row["csdr_estimate"] for row in heard)
    assert record["scores"]["vocals_csdr_estimate"] == pytest.approx(median, abs=1e-5)
    assert set(record["seconds_of"]) == {"reading", "nets", "oracle", "metrics", "spectra"}


def test_metrics_not_asked_for_are_null(some: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    rows = _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(some), "--metrics", "usdr")
    for row in rows.values():
        assert row["frames"] is None
        for column in evaluation_table.COLUMNS:
            assert (row[column.name] is None) == (column.metric != "usdr")


def _net(folder: Path, name: str) -> Path:
    """An untrained net of a few weights."""
    torch.manual_seed(len(name))
    changes = {"channels": (2, 3), "n_fft": 256, "hop_length": 64, "patch_frames": 32}
    recipe = registry.override(registry.RECIPES[name], changes)
    checkpoint.save(str(folder / name), Checkpoint(recipe, recipe.core(), 1))
    return folder / name


def _band(seed: int, seconds: float = 2) -> dict[str, np.ndarray]:
    """Four stems that sum to the mixture that goes with them."""
    vocals, accompaniment = sing(seed, seconds)
    shares = {"vocals": vocals, "drums": 0.3 * accompaniment, "other": 0.5 * accompaniment[::-1]}
    parts = {**shares, "bass": (0.2 * accompaniment).astype(np.float32)}
    return {**parts, "mixture": sum(parts.values())}  # type: ignore[dict-item]


@pytest.fixture
def musdb(tmp_path: Path) -> Path:
    """MUSDB18-HQ's layout."""
    root = tmp_path / "musdb18hq"
    for seed, place in enumerate(("train/Leaf - Summerghost", "train/A - B", "test/C - D")):
        for name, samples in _band(seed).items():
            audio.write(f"{root}/{place}/{name}.wav", samples, RATE, "FLOAT")
    return root


def test_guitar_counts_into_other_on_musdb(musdb: Path, tmp_path: Path) -> None:
    """Thesis 6.2 and 6.3.2: four nets, `other` is what they leave; their guitar is part of it."""
    names = ("vocals", "drums", "bass", "guitar")
    models = [_net(tmp_path, f"complex-unet-{name}-small") for name in names]
    options = ("--stems", str(musdb), "--split", "test", "--metrics", "usdr")
    rows = _evaluate(models, tmp_path / "out", *options)
    assert {song for song, _ in rows} == {"C - D"}
    assert {source for _, source in rows} == {"vocals", "drums", "bass", "other"}
    band = _band(2)
    found = {
        name: separate(band["mixture"], RATE, checkpoint.load(str(model)), Chunking())[name]
        for name, model in zip(names, models, strict=True)
    }
    other = band["mixture"] - found["vocals"] - found["drums"] - found["bass"]
    row = rows["C - D", "other"]
    assert row["usdr_estimate"] == pytest.approx(float(usdr(band["other"], other)), abs=1e-3)
    assert row["usdr_oracle"] > row["usdr_mixture"] + 3

    alone = _evaluate(models[-1], tmp_path / "alone", *options)
    assert {source for _, source in alone} == {"other", "no_other"}
    expected = float(usdr(band["other"], found["guitar"]))
    assert alone["C - D", "other"]["usdr_estimate"] == pytest.approx(expected, abs=1e-3)


def test_songs_with_a_guitar_keep_it(tmp_path: Path) -> None:
    """And what two nets leave is held against all that is neither's."""
    for name, samples in _band(0).items():
        if name != "mixture":
            place = "electric_guitar" if name == "other" else name
            audio.write(f"{tmp_path}/stems/song/{place}.wav", samples, RATE, "FLOAT")
    models = [_net(tmp_path, f"complex-unet-{name}-small") for name in ("vocals", "guitar")]
    rows = _evaluate(models, tmp_path / "out", "--stems", str(tmp_path / "stems"))
    assert {source for _, source in rows} == {"vocals", "guitar", "other"}
    band = _band(0)
    for source, true in (("guitar", band["other"]), ("other", band["drums"] + band["bass"])):
        expected = float(usdr(true, band["mixture"]))
        assert rows["song", source]["usdr_mixture"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("split", "songs_"), [("valid", 1), ("train", 1), ("test", 1), (None, 3)])
def test_splits_of_musdb_are_its_own(
    musdb: Path, tiny_checkpoint: Path, tmp_path: Path, split: str | None, songs_: int
) -> None:
    options = [] if split is None else ["--split", split]
    rows = _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(musdb), *options)
    assert len(rows) == 2 * songs_
    assert (split != "valid") or {song for song, _ in rows} == {"Leaf - Summerghost"}


def test_a_split_that_a_folder_does_not_have(
    some: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadUsage, match="its layout knows no splits"):
        _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(some), "--split", "test")


def test_ikala_has_a_source_a_channel(tiny_checkpoint: Path, tmp_path: Path) -> None:
    for seed, clip in enumerate(("10161_chorus", "10161_verse")):
        vocals, accompaniment = (part[:1] for part in sing(seed, 2))
        both = np.concatenate((accompaniment, vocals))
        audio.write(f"{tmp_path}/iKala/Wavfile/{clip}.wav", both, RATE, "FLOAT")
    options = ("--stems", str(tmp_path / "iKala"), "--layout", "ikala", "--metrics", "mir_eval")
    rows = _evaluate(tiny_checkpoint, tmp_path / "out", *options)
    assert len(rows) == 4
    vocals, accompaniment = (part[:1] for part in sing(1, 2))
    expected = float(usdr(vocals, vocals + accompaniment))
    assert rows["10161_verse", "vocals"]["usdr_mixture"] == pytest.approx(expected, abs=1e-4)
    assert math.isfinite(rows["10161_verse", "vocals"]["mir_nsdr"])


def test_medleydb_is_weighted_as_it_was_mixed(tiny_checkpoint: Path, tmp_path: Path) -> None:
    root = tmp_path / "MedleyDB"
    vocals, accompaniment = sing(0, 2)
    stems = {1: ("male singer", vocals, 0.5), 2: ("drum set", accompaniment, 2.0)}
    facts: dict[str, Any] = {"genre": "Rock", "stems": {}}
    for number, (instrument, samples, _) in stems.items():
        file = f"Song_STEM_0{number}.wav"
        facts["stems"][f"S0{number}"] = {"filename": file, "instrument": instrument}
        audio.write(f"{root}/Audio/Song/Song_STEMS/{file}", samples, RATE, "FLOAT")
    audio.write(f"{root}/Audio/Song/Song_MIX.wav", 0.5 * vocals + 2 * accompaniment, RATE, "FLOAT")
    (root / "Metadata").mkdir()
    (root / "Metadata" / "Song_METADATA.yaml").write_text(yaml.safe_dump(facts))
    weights = {"Song": {number: weight for number, (_, _, weight) in stems.items()}}
    (root / "mixing_coefficients.yaml").write_text(yaml.safe_dump(weights))
    rows = _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(root))
    expected = float(usdr(0.5 * vocals, 0.5 * vocals + 2 * accompaniment))
    assert rows["Song", "vocals"]["usdr_mixture"] == pytest.approx(expected, abs=1e-4)


def test_a_real_stem_mp4(test_data: Path, tmp_path: Path) -> None:
    models = [_net(tmp_path, f"complex-unet-{name}-small") for name in ("vocals", "drums", "bass")]
    folder = test_data / "audio" / "multitrack" / "falcon"
    rows = _evaluate(models, tmp_path / "out", "--stems", str(folder), "--metrics", "usdr")
    assert {source for _, source in rows} == {"vocals", "drums", "bass", "other"}
    assert all(row["usdr_oracle"] > row["usdr_mixture"] for row in rows.values())


def test_lengths_are_those_of_a_corpus(tmp_path: Path) -> None:
    """Shorter stems are followed by silence; a song ends with its mixture, or its longest stem."""
    vocals, accompaniment = sing(0, 3)
    audio.write(f"{tmp_path}/a/vocals.wav", vocals[:, :RATE], RATE, "FLOAT")
    audio.write(f"{tmp_path}/a/accompaniment.wav", accompaniment, RATE, "FLOAT")
    audio.write(f"{tmp_path}/b/vocals.wav", vocals, RATE, "FLOAT")
    mixture = (vocals + accompaniment)[:, : 2 * RATE]
    audio.write(f"{tmp_path}/b/mixture.wav", mixture, RATE, "FLOAT")
    longest, ended = (song.load() for song in evaluation_references.in_folder(str(tmp_path)))
    assert longest.mixture.shape == (2, 3 * RATE) and ended.mixture.shape == (2, 2 * RATE)
    assert np.array_equal(longest.source("vocals")[:, :RATE], vocals[:, :RATE])
    assert not longest.source("vocals")[:, RATE:].any()
    assert np.array_equal(ended.source("vocals"), vocals[:, : 2 * RATE])


def test_a_killed_run_scores_only_what_is_left(
    some: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[str] = []
    real = scoring.Scorer.of_system

    def dying(self: scoring.Scorer, name: str, *rest: Any) -> Any:
        scored.append(name)
        if scored.count("c") == 1 and name == "c":
            raise KeyboardInterrupt
        return real(self, name, *rest)

    monkeypatch.setattr(scoring.Scorer, "of_system", dying)
    with pytest.raises(KeyboardInterrupt):
        _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(some))
    killed = _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(some))
    assert scored == ["a", "c", "c", "instrumental"]
    whole = _evaluate(tiny_checkpoint, tmp_path / "whole", "--stems", str(some))
    for key, row in whole.items():
        np.testing.assert_equal(killed[key], row)
    assert not (tmp_path / "out" / "_parts").exists()


def test_channels_that_nobody_named_cost_their_song(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Nobody knows which of nine channels are left and right."""
    vocals, accompaniment = sing(0, 1)
    audio.write(f"{tmp_path}/stems/good/vocals.wav", vocals, RATE)
    audio.write(f"{tmp_path}/stems/good/accompaniment.wav", accompaniment, RATE)
    (tmp_path / "stems" / "odd").mkdir()
    soundfile.write(tmp_path / "stems" / "odd" / "vocals.wav", np.zeros((RATE, 9)), RATE)
    audio.write(f"{tmp_path}/stems/odd/accompaniment.wav", accompaniment, RATE)
    _evaluate(tiny_checkpoint, tmp_path / "out", "--stems", str(tmp_path / "stems"))
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    why = "vocals.wav: 9 channels that nobody named; mix them down to 2 first"
    assert record["rejects"] == {"odd": why}


def _ikala(folder: Path, sung: dict[str, list[int]]) -> None:
    """Clips of iKala's layout, each with its PitchLabel: a MIDI number each 32 ms."""
    for seed, (clip, notes) in enumerate(sung.items()):
        vocals, accompaniment = (part[:1] for part in sing(seed, 4))
        both = np.concatenate((accompaniment, vocals))
        audio.write(f"{folder}/iKala/Wavfile/{clip}.wav", both, RATE, "FLOAT")
        labels = folder / "iKala/PitchLabel"
        labels.mkdir(exist_ok=True)
        (labels / f"{clip}.pv").write_text("\n".join(map(str, notes)))


def test_clips_with_vocals_are_told_by_their_melody(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """iKala's are whole; longer songs are cut, and each clip is scored as the excerpt it is."""
    frames = 4 * 1000 // 32
    late = [0] * (frames * 3 // 4) + [60] * (frames // 4)
    _ikala(tmp_path, {"1_verse": [60] * frames, "2_verse": [0] * frames, "3_verse": late})
    (tmp_path / "iKala/PitchLabel/3_verse.pv").rename(tmp_path / "iKala/PitchLabel/3_VERSE_f0.pv")
    labels = str(tmp_path / "iKala/PitchLabel")
    options = ("--stems", str(tmp_path / "iKala"), "--layout", "ikala", "--melody", labels)
    rows = _evaluate(tiny_checkpoint, tmp_path / "whole", *options)
    assert {song for song, _ in rows} == {"1_verse", "3_verse"}
    record = runs.record(str(tmp_path / "whole"))
    assert record["without_vocals"] == ["2_verse"] and record["counts"]["without_vocals"] == 1
    assert "1 without vocals by --melody, such as 2_verse" in capsys.readouterr().out
    cut = _evaluate(tiny_checkpoint, tmp_path / "cut", *options, "--clip-seconds", "2")
    assert {song for song, _ in cut} == {"1_verse 0-2 s", "1_verse 2-4 s", "3_verse 2-4 s"}
    vocals, accompaniment = (part[:1, 2 * RATE :] for part in sing(2, 4))
    expected = float(usdr(vocals, vocals + accompaniment))
    assert cut["3_verse 2-4 s", "vocals"]["usdr_mixture"] == pytest.approx(expected, abs=1e-3)
    assert cut["3_verse 2-4 s", "vocals"]["duration_s"] == 2


def test_melodies_that_do_not_fit_cost_their_song(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = 4 * 1000 // 32
    _ikala(tmp_path, {"1_verse": [60] * frames, "2_verse": [60] * 400, "3_verse": [200]})
    labels = tmp_path / "iKala/PitchLabel"
    options = ("--stems", str(tmp_path / "iKala"), "--layout", "ikala", "--melody", str(labels))
    rows = _evaluate(tiny_checkpoint, tmp_path / "out", *options)
    assert {song for song, _ in rows} == {"1_verse"}
    rejects = runs.record(str(tmp_path / "out"))["rejects"]
    assert "goes on to 12.78 s" in rejects["2_verse"] and "no MIDI number" in rejects["3_verse"]
    (labels / "1_verse.pv").unlink()
    (labels / "2_verse.pv").write_text("0\n0\n")
    with pytest.raises(BadUsage, match=r"none of 3 songs has vocals by it; 1_verse: has no annot"):
        _evaluate(tiny_checkpoint, tmp_path / "none", *options)


def test_clips_of_other_separators_are_cut_from_their_songs(tmp_path: Path) -> None:
    _ikala(tmp_path, {"1_verse": [60] * (4 * 1000 // 32)})
    vocals, accompaniment = (part[:1] for part in sing(0, 4))
    audio.write(f"{tmp_path}/theirs/1_verse/vocals.wav", vocals * 0.9, RATE, "FLOAT")
    audio.write(f"{tmp_path}/theirs/1_verse/accompaniment.wav", accompaniment, RATE, "FLOAT")
    words = ["--estimates", str(tmp_path / "theirs"), "--stems", str(tmp_path / "iKala")]
    words += ["--melody", str(tmp_path / "iKala/PitchLabel"), "--clip-seconds", "2"]
    assert command.main([*words, "--output", str(tmp_path / "out")]) == 0
    rows = pq.read_table(tmp_path / "out/songs.parquet").to_pylist()
    sung = {row["song"]: row["usdr_estimate"] for row in rows if row["source"] == "vocals"}
    assert sung == pytest.approx({"1_verse 0-2 s": 20, "1_verse 2-4 s": 20}, abs=0.01)


def test_spectra_are_of_the_power_in_third_octaves(tmp_path: Path) -> None:
    """A tone of 1 kHz at −3 dBFS lies in its band alone; what a band lacks at a rate is null."""
    time_s = np.arange(4 * RATE) / RATE
    tone = np.sin(2 * np.pi * 1000 * time_s).astype(np.float32)[None]
    levels = spectra.third_octaves_db(tone, RATE)
    centres = spectra.centres_hz()
    at = int(np.argmin(abs(centres - 1000)))
    assert levels[at] == pytest.approx(-3.01, abs=0.05)
    others = [x for n, x in enumerate(levels) if x is not None and abs(n - at) > 1]
    assert max(others) < -45  # the cut at its end
    assert [x is None for x in levels] == [bool(c * 2 ** (1 / 6) > RATE / 2) for c in centres]
    noise = np.random.default_rng(0).standard_normal((2, 4 * RATE)).astype(np.float32)
    both = [x for x in spectra.third_octaves_db(noise, RATE) if x is not None]
    covered = (centres[len(both) - 1] * 2 ** (1 / 6) - centres[0] * 2 ** (-1 / 6)) / (RATE / 2)
    assert sum(10 ** (x / 10) for x in both) == pytest.approx(covered, rel=0.02)
    assert {x for x in spectra.third_octaves_db(0 * noise, RATE) if x is not None} == {-120.0}
    assert len(spectra.third_octaves_db(noise[:, :3], RATE)) == spectra.BANDS
