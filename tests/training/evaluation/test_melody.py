"""`evaluate --f0`: annotated songs → OA, RPA and the SDR of vocals, for nets and for others."""

import json
from pathlib import Path

import mir_eval
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlode import cli
from stemlode.audio import AudioError
from stemlode.runs import BadUsage
from training import checkpoint
from training.checkpoint import Checkpoint
from training.evaluation import annotations, listeners, melody, melody_scores
from training.evaluation.annotations import Melody
from training.pitch.targets import F0
from training.recipes import registry
from training.recipes.registry import RECIPES

RATE = 22_050
SECONDS = 2.0


def _run(*words: str | Path) -> int:
    return cli.main([str(word) for word in words])


def test_ikala_s_labels(tmp_path: Path) -> None:
    path = tmp_path / "10161_chorus.pv"
    path.write_text("0\n69\n57.5\n")
    found = annotations.read(str(path), 30.0)
    assert found.time_s == pytest.approx([0.016, 0.048, 0.080])
    assert found.f0_hz == pytest.approx([0, 440, 440 * 2 ** (-11.5 / 12)])


@pytest.mark.parametrize(
    "text",
    ["0.0,0.0\n0.5,220\n1.0,-110\n", "time,f0\n0.0,0\n0.5,220.0\n1.0,\n", "0\t0\n.5\t220\n1\t0"],
)
def test_tables_of_seconds_and_hz(tmp_path: Path, text: str) -> None:
    path = tmp_path / "song.csv"
    path.write_text(text)
    found = annotations.read(str(path), 1.0)
    assert found.time_s.tolist() == [0, 0.5, 1] and found.f0_hz.tolist() == [0, 220, 0]


def test_where_lines_are_left_out_the_voice_is_silent(tmp_path: Path) -> None:
    path = tmp_path / "song.csv"
    path.write_text("".join(f"{t / 100},200\n" for t in (*range(10), *range(50, 60))))
    found = annotations.read(str(path), 1.0)
    silent = found.time_s[found.f0_hz == 0]
    assert silent == pytest.approx([0.10, 0.49]) and (np.diff(found.time_s) > 0).all()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "0.5,1\n0.4,1\n", "line 2 is at 0.4 s, after 0.5 s: it is not sorted"),
        ("a.csv", "0.5,1\n9.0,1\n", "goes on to 9.00 s, and the song ends at 2.00 s"),
        ("a.csv", "time,f0\nx,1\n", "line 2"),
        ("a.csv", "0,1\n0.1,nan\n", "line 2 holds"),
        ("a.csv", "", "holds no frame"),
        ("a.pv", "0\n300\n", "line 2 is 300, no MIDI number"),
        ("a.pv", "0\nx\n", "x"),
        ("a.pv", "0\n" * 200, "goes on to 6.38 s"),
    ],
)
def test_a_bad_annotation_is_one_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(AudioError, match=said) as raised:
        annotations.read(str(path), 2.0)
    assert str(raised.value).startswith(name) and "\n" not in str(raised.value)


def test_annotations_are_found_by_the_song_s_name(tmp_path: Path) -> None:
    for name in ("Song A.csv", "b_MELODY2.csv", "other.csv", "notes.md"):
        (tmp_path / name).write_text("0,0\n")
    found = annotations.beside(str(tmp_path), ["song a", "B", "c"])
    assert {song: Path(path).name for song, path in found.items()} == {
        "song a": "Song A.csv",
        "B": "b_MELODY2.csv",
    }
    (tmp_path / "b_MELODY1.csv").write_text("0,0\n")
    with pytest.raises(BadUsage, match=r"B has b_MELODY1\.csv and b_MELODY2\.csv"):
        annotations.beside(str(tmp_path), ["B"])
    with pytest.raises(BadUsage, match=r"called like one of 1 songs, such as zebra"):
        annotations.beside(str(tmp_path), ["zebra"])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_scores_are_those_of_mir_eval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time = np.arange(60) * 0.01
    true = np.where(rng.random(60) < 0.7, 220 * 2 ** rng.uniform(-0.05, 0.05, 60), 0.0)
    pitch, confidence = 220 * 2 ** rng.uniform(-0.05, 0.05, 60), rng.random(60)
    truth, found = Melody(time, true), F0(time, pitch, confidence)
    scored = melody_scores.accuracy(truth, found)
    for threshold in (0.2, 0.4, 0.8):
        signed = np.where(confidence >= threshold, pitch, -pitch)
        wanted = mir_eval.melody.evaluate(time, true, time, signed)
        assert scored.oa[melody_scores.at(threshold)] == pytest.approx(wanted["Overall Accuracy"])
        if true.any():
            assert scored.rpa == pytest.approx(wanted["Raw Pitch Accuracy"])


def test_the_best_threshold_is_one_for_all_songs() -> None:
    first = np.linspace(0, 1, len(melody_scores.THRESHOLDS))
    best = melody_scores.best_threshold([first, 1.2 * first[::-1]])
    assert best == melody_scores.THRESHOLDS[0]
    assert melody_scores.best_threshold([[0.5] * len(first)]) == 0.4


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs of a voice at 220 and 330 Hz with a pause, over noise; `f0` beside them."""
    root = tmp_path_factory.mktemp("songs")
    (root / "f0").mkdir()
    rng = np.random.default_rng(0)
    time = np.arange(round(SECONDS * RATE)) / RATE
    for name, f0 in (("one", 220.0), ("two", 330.0)):
        sings = time < 1.5
        voice = sum(0.1 / k * np.sin(2 * np.pi * k * f0 * time) for k in range(1, 5)) * sings
        (root / "stems" / name).mkdir(parents=True)
        soundfile.write(root / "stems" / name / "vocals.wav", voice, RATE)
        noise = 0.02 * rng.standard_normal(len(time))
        soundfile.write(root / "stems" / name / "accompaniment.wav", noise, RATE)
        frames = np.arange(0, SECONDS, 0.01)
        lines = [f"{t:.2f},{f0 if t < 1.5 else 0}\n" for t in frames]
        (root / "f0" / f"{name}.csv").write_text("".join(lines))
    return root


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Networks that nobody trained."""
    root, found = tmp_path_factory.mktemp("nets"), {}
    for wiring in ("source-to-pitch", "pitch-only", "oracle-pitch", "oracle-vocals"):
        torch.manual_seed(0)
        recipe = registry.override(RECIPES[f"joint-{wiring}"], {"channels": (2, 2, 2)})
        found[wiring] = root / wiring
        taught = [{"pitch": "deep-salience", "targets": "multi"}]
        checkpoint.save(str(found[wiring]), Checkpoint(recipe, recipe.core(), 1, {}, taught))
    return found


def test_networks_and_others_are_scored_side_by_side(
    songs: Path, nets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    perfect, half = tmp_path / "perfect-vocals", tmp_path / "half"
    (half / "one").mkdir(parents=True)
    perfect.mkdir()
    for name in ("one", "two"):
        text = (songs / "f0" / f"{name}.csv").read_text()
        (perfect / f"{name}.csv").write_text(text)
    sung = (songs / "f0/one.csv").read_text().splitlines()
    never = [f"{line.split(',')[0]},220.0,{0.3}" for line in sung]
    (half / "one/f0.csv").write_text("time_s,f0_hz,confidence\n" + "\n".join(never))
    words = ["evaluate", "--stems", songs / "stems", "--f0", songs / "f0"]
    for net in nets.values():
        words += ["--checkpoint", net]
    words += ["--f0-estimates", perfect, "--f0-estimates", half, "--output", tmp_path / "out"]
    assert _run(*words) == 0
    rows = pq.ParquetFile(tmp_path / "out/melody.parquet").read().to_pylist()
    by = {(row["system"], row["hears"], row["song"]): row for row in rows}
    assert len(rows) == 2 * 4 + 2 + 1 and all(row["threshold"] or row["oa"] is None for row in rows)
    for name in ("one", "two"):
        assert by["perfect-vocals", "vocals", name]["oa"] == pytest.approx(1, abs=0.02)
        assert by["joint-pitch-only", "mixture", name]["sdr_db"] is None
        assert by["joint-oracle-pitch", "mixture", name]["oa"] is None
        for wiring in ("source-to-pitch", "oracle-pitch"):
            assert np.isfinite(by[f"joint-{wiring}", "mixture", name]["sdr_db"])
        assert by["joint-oracle-vocals", "vocals", name]["rpa"] is not None
        assert by["joint-pitch-only", "mixture", name]["pitch_teacher"] == "deep-salience"
    found = by["half", "mixture", "one"]
    assert found["oa"] == pytest.approx(0.25, abs=0.02)  # nothing is voiced at 0.4
    assert found["oa_best"] == pytest.approx(0.75, abs=0.02) and found["threshold"] == 0.3
    assert found["rpa"] == pytest.approx(1, abs=0.02)
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["rejects"] == {"two, half": "half holds no two.csv or two/f0.csv"}
    assert record["statistics"]["half on mixture"]["oa_best"]["songs"] == 1
    told = capsys.readouterr().out
    assert "OA at 0.4" in told and "perfect-vocals on vocals" in told
    assert _run(*words) == 0
    assert "already complete" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "time,frequency,confidence\n0.00,220.0,0.9\n0.01,nan,0.1\n0.02,nan,0.1\n0.03,330.0,0.9\n",
        "0.00 220.0 0.9\r\n0.01 0 0.1\r\n0.02 -220 0.1\r\n0.03 330.0 0.9\r\n",
        "#time\n\n0.00,\t220.0\n0.01,\t0\n0.02,\t-220\n0.03,\t330\n",
    ],
    ids=["crepe-and-librosa", "spaces", "no-confidence"],
)
def test_estimates_are_read_as_trackers_write_them(text: str) -> None:
    found = listeners._series(text)
    assert found.time_s.tolist() == [0, 0.01, 0.02, 0.03]
    assert np.maximum(found.f0_hz, 0).tolist() == [220, 0, 0, 330]
    assert (found.confidence >= 0.4).tolist() == [True, False, False, True]


def test_nobody_sings_where_an_estimate_has_no_lines() -> None:
    """mir_eval draws a line from one to the next, however far that is."""
    times = [t / 100 for t in range(400) if not 100 <= t < 300]
    lines = "".join(f"{t},220\n" for t in times)
    truth = Melody(np.arange(400) / 100, np.where((np.arange(400) // 100) % 3 == 0, 220.0, 0.0))
    found = melody_scores.accuracy(truth, listeners._series(lines))
    assert found.oa[melody_scores.at(0.4)] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "text", ["", "a,b\n", "0,220\n0,330\n", "0,inf\n", "0,220,1\n0.1,220\n", "0,1,2,3\n", "0,x\n"]
)
def test_an_estimate_that_is_none_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"lines|finite|convert"):
        listeners._series(text)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0.5,220\n", "line 301 is at 0.5 s, after 2.99 s: it is not sorted"),
        ("9.0,220\n", "goes on to 9.00 s, and the song ends at 2.00 s"),
        ("5,nan\n", "line 301 holds 5.0 s and nan Hz"),
    ],
    ids=["unsorted", "longer", "not-finite"],
)
def test_a_bad_annotation_costs_its_song_alone(
    songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    f0 = tmp_path / "f0"
    f0.mkdir()
    lines = (songs / "f0/one.csv").read_text().splitlines(keepends=True)
    (f0 / "one.csv").write_text("".join(lines))
    (f0 / "two.csv").write_text("".join([f"{t / 100:.2f},330\n" for t in range(300)]) + line)
    words = ["evaluate", "--stems", songs / "stems", "--f0", f0, "--f0-estimates", songs / "f0"]
    assert _run(*words, "--output", tmp_path / "out") == 0
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["counts"] == {"songs": 1, "rejected": 1}
    assert said in record["rejects"]["two"] and "two.csv" in record["rejects"]["two"]
    assert f"left out two: two.csv: {said}"[:40] in capsys.readouterr().err
    (f0 / "one.csv").unlink()
    assert _run(*words, "--output", tmp_path / "none") == 1  # no song is left
    assert "none of 2 songs can be evaluated" in capsys.readouterr().err


def test_medleydb_does_not_score_what_learnt_from_it(
    songs: Path, nets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from stemlode.layouts.songs import Part, Song
    from training.evaluation.references import Stems

    part = (Part("/m/Song_STEMS/Song_STEM_01.wav"),)
    assert melody.is_medleydb(Stems(Song("Song", {"vocals": part})))
    assert not melody.is_medleydb(Stems(Song("Song", {"vocals": (Part("/m/vocals.wav"),)})))
    song = [Stems(Song("Song", {"vocals": part}))]
    trained = checkpoint.load(str(nets["pitch-only"]))
    with pytest.raises(BadUsage, match="joint-pitch-only would be scored on MedleyDB"):
        melody.refuse_what_was_learnt(song, [], [trained])


def test_bad_usage_is_one_line(
    songs: Path, nets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stems, f0, out = songs / "stems", songs / "f0", tmp_path / "out"
    net = nets["pitch-only"]
    for words, said in (
        ([f0, "--checkpoint", net], "needs --stems"),
        ([f0, "--stems", stems], "needs --checkpoint, --tracker or --f0-estimates"),
        ([tmp_path, "--stems", stems, "--checkpoint", net], "is called like one of 2 songs"),
    ):
        assert _run("evaluate", "--f0", *words, "--output", out) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and said in lines[0]
    assert not out.exists()


@pytest.mark.slow
def test_swift_f0_hears_the_voice(test_data: Path, tmp_path: Path) -> None:
    """The real solo voice over a real instrumental: on the clean voice as its authors say."""
    pytest.importorskip("swift_f0")
    voice, rate = soundfile.read(test_data / "audio/voice/vocadito_1.wav", dtype="float32")
    band, held = soundfile.read(
        test_data / "audio/instrumental/Awakening.ogg", dtype="float32", frames=40 * 48_000
    )
    from stemlode import audio

    backing = audio.resample(np.ascontiguousarray(band.mean(1)[None]), held, rate)[0]
    folder = tmp_path / "stems/vocadito_1"
    folder.mkdir(parents=True)
    soundfile.write(folder / "vocals.wav", voice, rate)
    soundfile.write(folder / "accompaniment.wav", 0.3 * backing[: len(voice)], rate)
    words = ["evaluate", "--stems", tmp_path / "stems", "--f0", test_data / "audio/voice"]
    (tmp_path / "f0").mkdir()
    truth = (test_data / "audio/voice/vocadito_1_f0.csv").read_text()
    (tmp_path / "f0/vocadito_1_f0.csv").write_text(truth)
    words[-1] = tmp_path / "f0"
    assert _run(*words, "--tracker", "swift-f0", "--output", tmp_path / "out") == 0
    rows = pq.ParquetFile(tmp_path / "out/melody.parquet").read().to_pylist()
    oa = {row["hears"]: row["oa_best"] for row in rows}
    assert oa["vocals"] > 0.93 and oa["vocals"] > oa["mixture"]
