"""`stemlode pitch` as a user runs it, on voices of which it is known what they sing."""

import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import mido
import mir_eval
import numpy as np
import pytest
import soundfile
from PIL import Image

from stemlode import cli, runs
from stemlode.shards import salience
from tests.pipelines.salience.sung import voice
from training.pitch import command, notes, song, targets, teachers
from training.pitch.targets import F0

RATE = 22_050
TUNE = ((0.5, 220.0), (0.9, 247.0), (1.4, 0.0), (1.7, 330.0), (2.3, 0.0))  # from then on, Hz


def tune(seconds: float = 3.0, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    f0 = np.zeros(len(time))
    for start, hertz in TUNE:
        f0[time >= start] = hertz
    return f0


@pytest.fixture(scope="module")
def sung(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song of three notes, with a name that wants to be more than a name."""
    path = tmp_path_factory.mktemp("songs") / "A <b>tune & 100%#1.wav"
    soundfile.write(path, voice(tune()), RATE)
    return path


@pytest.fixture(scope="module")
def heard(sung: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("pitch") / "out"
    assert hear([sung], output) == 0
    return output


def hear(songs: list[Path], output: Path, *flags: str) -> int:
    return cli.main(["pitch", *map(str, songs), "--output", str(output), *flags])


def folder(output: Path) -> Path:
    (only,) = [path for path in output.iterdir() if path.is_dir()]
    return only


def table(path: Path) -> np.ndarray:
    assert path.read_text().splitlines()[0] == "time_s,f0_hz,confidence"
    return np.loadtxt(path, delimiter=",", skiprows=1)


def test_the_f0_is_what_was_sung(heard: Path) -> None:
    found = table(folder(heard) / "f0.csv")
    assert len(found) == salience.frame_count(3 * RATE)
    assert np.allclose(found[:, 0], targets.times(len(found)), atol=1e-6)
    true = tune()[:: salience.HOP_LENGTH]
    score = mir_eval.melody.evaluate(found[:, 0], true, found[:, 0], found[:, 1])
    assert score["Raw Pitch Accuracy"] > 0.97 and score["Overall Accuracy"] > 0.94
    voiced = found[:, 1] > 0
    assert (found[voiced, 2] >= 0.4 - 5e-5).all() and (found[~voiced, 2] < 0.4).all()
    assert ((found[:, 2] >= 0) & (found[:, 2] <= 1)).all()


def test_notes_are_a_midi_file(heard: Path) -> None:
    file = mido.MidiFile(folder(heard) / "notes.mid")
    at, sounding, found = 0.0, {}, []
    for message in file:  # in seconds
        at += message.time
        if message.type == "note_on":
            sounding[message.note] = at
        elif message.type == "note_off":
            found.append((sounding.pop(message.note), at, message.note))
    assert [number for *_, number in found] == [57, 59, 64]
    ends = [(0.5, 0.9), (0.9, 1.4), (1.7, 2.3)]
    for (start, end, _), known in zip(found, ends, strict=True):
        assert abs(start - known[0]) < 0.08 and abs(end - known[1]) < 0.08
    assert not sounding


def test_the_page_shows_and_plays_all_and_trusts_no_name(heard: Path, sung: Path) -> None:
    page = (heard / command.PAGE).read_text()
    assert html.escape(sung.name) in page and "<b>" not in page
    for kind in ("img", "audio"):
        (address,) = re.findall(rf'<{kind}[^>]* src="([^"]+)"', page)
        assert (heard / unquote(html.unescape(address))).is_file()
    image = Image.open(folder(heard) / "salience.png")
    assert image.size[1] > salience.ROWS and image.size[0] > salience.frame_count(3 * RATE)
    sound, rate = soundfile.read(folder(heard) / "listen.flac")
    assert rate == RATE and sound.shape == (3 * RATE, 2)
    assert np.abs(sound[:, 0] - voice(tune())).max() < 1e-3
    middle = sound[round(1.9 * RATE) : round(2.1 * RATE), 1]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), RATE))
    assert abs(int(spectrum.argmax()) - 330) <= 6
    assert np.abs(sound[: round(0.4 * RATE), 1]).max() < 0.01


def test_a_rerun_is_complete_and_writes_the_same(
    heard: Path, sung: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hear([sung], heard) == 0
    assert "already complete" in capsys.readouterr().out
    assert hear([sung], tmp_path / "again") == 0
    ours, theirs = (runs.record(str(out))["outputs"] for out in (heard, tmp_path / "again"))
    assert ours == theirs and len(ours) == len(song.FILES) + 1


def test_bad_files_cost_a_line_each_and_the_rest_is_heard(
    sung: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    time = np.arange(3 * 8000) / 8000
    rng = np.random.default_rng(0)
    files = {
        "low.wav": (voice(np.full(3 * 8000, 250.0), 8000), 8000),
        "short.wav": (voice(np.full(round(0.3 * RATE), 250.0)), RATE),
        "side.wav": (np.stack([voice(tune()), 0 * tune()], 1), RATE),
        "silence.wav": (np.zeros(RATE), RATE),
        "hiss.wav": (0.1 * rng.standard_normal(2 * RATE), RATE),
        "one.wav": (0.1 * np.ones(1), RATE),
    }
    for name, (samples, rate) in files.items():
        soundfile.write(tmp_path / name, samples, rate)
    (tmp_path / "text.mp3").write_text("no music")
    given = [tmp_path / name for name in (*files, "text.mp3", "missing.wav")]
    output = tmp_path / "out"
    assert hear(given, output) == 1
    said = capsys.readouterr().err.splitlines()
    errors = [line for line in said if line.startswith("error:")]
    assert len(errors) == 3  # one a bad file, and the last
    assert "2 of 8 inputs could not be heard" in errors[-1]
    silent = [line for line in said if line.startswith("note:")]
    told = "silence.wav: no voice is heard in it: its likeliest pitch has 0.00, and 0.4 counts"
    assert any(told in line for line in silent)
    assert {*runs.record(str(output))["rejects"]} == {str(path) for path in given[-2:]}
    for name in ("low", "short"):
        found = table(output / name / "f0.csv")
        inner = found[8:-8]
        assert (np.abs(1200 * np.log2(inner[:, 1] / 250)) < 30).mean() > 0.9, name
    side = table(output / "side" / "f0.csv")
    assert ((side[:, 1] > 0) == (tune()[:: salience.HOP_LENGTH] > 0)).mean() > 0.9
    assert len(time) and (table(output / "silence" / "f0.csv")[:, 1] <= 0).all()
    assert hear(given[:1], output) == 0  # which is told of no other
    # What was heard is not heard again when the bad ones are mended.
    soundfile.write(given[-1], voice(tune()), RATE)
    soundfile.write(given[-2].with_suffix(".wav"), voice(tune()), RATE)
    given[-2].write_bytes(given[-2].with_suffix(".wav").read_bytes())
    asked: list[str] = []
    real = song.write
    monkeypatch.setattr(song, "write", lambda s, *a, **k: asked.append(s) or real(s, *a, **k))
    assert hear(given, output) == 0
    assert asked == [str(path) for path in given[-2:]]
    assert not (output / runs.PARTS).exists()
    # Nor when a further song comes to them, whether their files are still there or not.
    given[0].unlink()
    soundfile.write(tmp_path / "more.wav", voice(tune()), RATE)
    assert hear([tmp_path / "more.wav"], output) == 0
    assert asked == [str(path) for path in (*given[-2:], tmp_path / "more.wav")]
    assert all(name in (output / "index.html").read_text() for name in ("low.wav", "more.wav"))
    (output / "more" / "f0.csv").unlink()
    assert hear([tmp_path / "more.wav"], output) == 0 and (output / "more" / "f0.csv").exists()


class Duet:
    """A teacher that hears two voices everywhere, a fifth apart, the higher one less surely."""

    sample_rate = salience.SAMPLE_RATE

    @staticmethod
    def likelihoods(signal: Any, frames: int) -> Iterator[np.ndarray]:
        time, sure = np.zeros(frames), np.ones(frames)
        low = targets.ridges(F0(time, 220.0 * sure, 0.9 * sure))
        yield np.maximum(low, targets.ridges(F0(time, 330.0 * sure, 0.6 * sure)))


def test_many_voices_are_a_ragged_table(
    sung: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hear([sung], tmp_path / "none", "--voices", "many") == 2
    assert "--voices many: swift-f0 follows one voice" in capsys.readouterr().err
    made = teachers.PitchTeacher("duet", "0", salience.SAMPLE_RATE, True, Duet.likelihoods)
    monkeypatch.setattr(teachers, "load", lambda *_: made)
    output = tmp_path / "out"
    assert hear([sung], output, "--voices", "many") == 0
    times, found = mir_eval.io.load_ragged_time_series(str(folder(output) / "f0s.tsv"))
    assert len(times) == salience.frame_count(3 * RATE)
    for frame in found:
        assert np.abs(1200 * np.log2(frame / [220, 330])).max() <= 10.1
    f0 = table(folder(output) / "f0.csv")
    assert np.abs(1200 * np.log2(f0[:, 1] / 220)).max() <= 10.1
    sound, _ = soundfile.read(folder(output) / "listen.flac")
    spectrum = np.abs(np.fft.rfft(sound[:RATE, 1]))
    assert {int(at) for at in np.argsort(spectrum)[-2:]} <= {*range(218, 223), *range(327, 334)}


def test_options_that_cannot_be_are_named(
    sung: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags, line in (
        (["--teacher", "deep-salience"], "--teacher deep-salience needs --weights"),
        (["--teacher", "crepe"], "invalid choice: 'crepe'"),
        (["--voice", "many"], "did you mean --voices?"),
        (["--teacher", "deep-salience", "--weights", str(sung)], "not the HDF5 file"),
    ):
        assert hear([sung], tmp_path / "out", *flags) in (1, 2)
        said = capsys.readouterr().err
        assert line in said and said.count("\n") == 1
    assert hear([tmp_path], tmp_path / "out") == 2
    assert "is a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_weights_that_are_cut_are_one_line(
    sung: Path, tmp_path: Path, test_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (test_data / "weights/deepsalience_multif0.h5").read_bytes()
    weights = tmp_path / "cut.h5"
    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:size])
        flags = ["--teacher", "deep-salience", "--weights", str(weights)]
        assert hear([sung], tmp_path / "out", *flags) == 1
        said = capsys.readouterr().err
        assert f"--weights {weights}: " in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def series(semitones: list[float]) -> F0:
    hertz = np.where(np.isnan(semitones), -100.0, 440 * 2 ** ((np.array(semitones) - 69) / 12))
    return F0(targets.times(len(hertz)), hertz, np.where(hertz > 0, 0.9, 0.1))


def test_notes_bridge_short_gaps_and_follow_vibrato() -> None:
    rest = float("nan")
    vibrato = (60 + 0.6 * np.sin(np.arange(60))).tolist()
    found = notes.notes_of(series([*vibrato[:30], *[rest] * 5, *vibrato[30:]]))
    assert [note.midi for note in found] == [60] and found[0].duration_s == pytest.approx(
        65 * 256 / 22_050
    )
    two = notes.notes_of(series([*[60.0] * 20, *[rest] * 8, *[60.0] * 20]))
    assert [note.midi for note in two] == [60, 60]
    steps = notes.notes_of(series([*[60.0] * 20, *[62.0] * 20, *[64.0] * 3]))
    assert [note.midi for note in steps] == [60, 62]  # the last one is too short
    assert notes.notes_of(series([])) == notes.notes_of(series([rest] * 5)) == []
    assert len(mido.MidiFile(file=io.BytesIO(notes.midi([]))).tracks) == 1


@pytest.mark.slow
def test_the_annotation_is_a_jams_file(heard: Path) -> None:
    import jams

    path = folder(heard) / "f0.jams"
    found = jams.load(str(path), validate=True, strict=True)
    (contour,), (sung,) = found.search(namespace="pitch_contour"), found.search(namespace="note_hz")
    f0 = table(folder(heard) / "f0.csv")
    assert len(contour.data) == len(f0) and len(sung.data) == 3
    for known, row in zip(contour.data, f0, strict=True):
        assert known.time == pytest.approx(row[0], abs=1e-6)
        assert known.value["voiced"] == (row[1] > 0)
        assert known.value["frequency"] == pytest.approx(abs(row[1]), abs=1e-3)
    assert json.loads(path.read_text())["file_metadata"]["duration"] == 3.0
