"""Other separators' folders, scored beside ours or alone, and scores at another rate."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stemlode import audio, cli
from stemlode.runs import BadUsage, Failed
from tests.training.conftest import RATE, sing
from training.evaluation import command
from training.models.metrics import usdr
from training.separation import command as separation_command

Rows = dict[tuple[str, str, str | None], dict[str, Any]]


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """A stems folder of three songs of drums, bass and vocals."""
    for seed, name in enumerate(("Ann - Öl", "Ben - B", "Cy - C")):
        vocals, drums = sing(seed, 3)
        bass = sing(seed + 50, 3)[1]
        for stem, samples in (("vocals", vocals), ("drums", drums), ("bass", bass)):
            audio.write(f"{tmp_path}/songs/{name}/{stem}.wav", samples, RATE, "FLOAT")
    return tmp_path / "songs"


def _truth(songs: Path, song: str, stem: str) -> np.ndarray:
    return audio.read(f"{songs}/{song}/{stem}.wav").samples


def _evaluate(output: Path, *words: str) -> Rows:
    assert command.main([*words, "--output", str(output)]) == 0
    table = pq.read_table(output / "songs.parquet")
    assert table.schema == command.SCHEMA
    return {(row["song"], row["source"], row["system"]): row for row in table.to_pylist()}


def _near(songs: Path, folder: Path, stems: dict[str, str], error: float = 0.1) -> None:
    """Estimates as another tool writes them: files of its own names, off by some noise."""
    rng = np.random.default_rng(0)
    for song in songs.iterdir():
        for name, stem in stems.items():
            truth = _truth(songs, song.name, stem)
            noisy = truth + error * truth.std() * rng.standard_normal(truth.shape)
            path = f"{folder}/{song.name}/{name}"
            audio.write(
                path, noisy.astype(np.float32), RATE, "FLOAT" if "wav" in name else "PCM_24"
            )


FOUR = {"vocals.wav": "vocals", "drums.wav": "drums", "bass.flac": "bass"}


def test_estimates_stand_beside_a_checkpoints(
    songs: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For the stems of the checkpoint; the accompaniment is the sum of what is no vocals."""
    _near(songs, tmp_path / "theirs", FOUR)
    words = ["--checkpoint", str(tiny_checkpoint), "--stems", str(songs)]
    rows = _evaluate(tmp_path / "out", *words, "--estimates", str(tmp_path / "theirs"))
    assert {key[1:] for key in rows} == {
        (source, whose) for source in ("vocals", "accompaniment") for whose in (None, "theirs")
    }
    alone = _evaluate(tmp_path / "alone", *words)
    for (song, source, whose), row in rows.items():
        if whose is None:
            np.testing.assert_equal(row, alone[song, source, None])
            continue
        assert row["usdr_mixture"] == alone[song, source, None]["usdr_mixture"]
        assert 15 < row["usdr_estimate"] < 25 and row["csdr_estimate"] > 10
        assert row["usdr_oracle"] is None and row["csdr_oracle"] is None
    stems = {stem: _truth(songs, "Ben - B", stem) for stem in ("drums", "bass")}
    theirs = [audio.read(str(p)).samples for p in (tmp_path / "theirs/Ben - B").glob("[db]*")]
    wanted = float(usdr(sum(stems.values()), sum(theirs)))
    found = rows["Ben - B", "accompaniment", "theirs"]["usdr_estimate"]
    assert found == pytest.approx(wanted, abs=1e-2)
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["scores"]["vocals by theirs_usdr_estimate"] > 15
    assert record["statistics"]["vocals"]["usdr_oracle"]["songs"] == 3
    assert "usdr_oracle" not in record["statistics"]["vocals by theirs"]
    assert record["counts"]["songs"] == 3 and record["counts"]["rejected"] == 0
    assert "vocals by theirs" in capsys.readouterr().out
    assert cli.main(["report", str(tmp_path / "out"), "--output", str(tmp_path / "page.html")]) == 0
    assert "vocals by theirs" in (tmp_path / "page.html").read_text()


def test_estimates_are_scored_alone_in_their_own_stems(songs: Path, tmp_path: Path) -> None:
    _near(songs, tmp_path / "a/model", FOUR)
    _near(songs, tmp_path / "b/model", {"vocals.wav": "vocals", "mixture.wav": "drums"}, 0.5)
    words = ["--stems", str(songs), "--estimates", str(tmp_path / "a/model")]
    rows = _evaluate(tmp_path / "out", *words, "--estimates", str(tmp_path / "b/model"))
    assert {key[1:] for key in rows} == {
        *((stem, "model") for stem in ("vocals", "drums", "bass")),
        ("vocals", "model-2"),
    }
    for song in ("Ann - Öl", "Ben - B", "Cy - C"):
        first, second = (rows[song, "vocals", name] for name in ("model", "model-2"))
        assert first["usdr_estimate"] == pytest.approx(20, abs=1)
        assert second["usdr_estimate"] == pytest.approx(6, abs=1)


def test_what_separate_wrote_is_scored_as_its_checkpoint_is(
    songs: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Its folders are named after files that are all called mixture: run.json tells the songs."""
    mixtures = []
    for song in sorted(songs.iterdir()):
        parts = [audio.read(str(path)).samples for path in song.iterdir()]
        path = song / "mixture.wav"
        audio.write(str(path), np.sum(parts, axis=0), RATE, "FLOAT")
        mixtures.append(str(path))
    named = ["--checkpoint", str(tiny_checkpoint)]
    place = ["--output", str(tmp_path / "separated")]
    assert separation_command.main([*mixtures, *named, *place]) == 0
    words = [*named, "--stems", str(songs), "--estimates", str(tmp_path / "separated")]
    rows = _evaluate(tmp_path / "out", *words)
    assert len(rows) == 12
    for (song, source, whose), row in rows.items():
        if whose:
            ours = rows[song, source, None]
            assert row["usdr_estimate"] == pytest.approx(ours["usdr_estimate"], abs=1e-3)


def test_a_bad_estimate_costs_itself_alone(
    songs: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs"
    _near(songs, theirs, FOUR)
    (theirs / "ann öl").mkdir()  # named as the song but for case and special characters
    for path in (theirs / "Ann - Öl").iterdir():
        path.rename(theirs / "ann öl" / path.name)
    (theirs / "Ann - Öl").rmdir()
    (theirs / "Ben - B/vocals.wav").write_bytes(b"RIFF")
    audio.write(f"{theirs}/Cy - C/vocals.wav", sing(2, 2)[0], RATE)
    words = ["--checkpoint", str(tiny_checkpoint), "--stems", str(songs)]
    rows = _evaluate(tmp_path / "out", *words, "--estimates", str(theirs))
    assert {key[0] for key in rows if key[2] is None} == {"Ann - Öl", "Ben - B", "Cy - C"}
    assert {key[0] for key in rows if key[2]} == {"Ann - Öl"}
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["counts"]["rejected"] == 2
    assert record["rejects"]["Cy - C, theirs"].endswith("vocals.wav lasts 2.00 s, its song 3.00 s")
    assert "estimate Ben - B/vocals.wav" in record["rejects"]["Ben - B, theirs"]
    assert "evaluate: left out Cy - C, theirs: estimate" in capsys.readouterr().err


def test_a_killed_run_knows_what_it_left_out(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _near(songs, tmp_path / "theirs", FOUR)
    (tmp_path / "theirs/Ann - Öl/vocals.wav").write_bytes(b"RIFF")
    words = ["--stems", str(songs), "--estimates", str(tmp_path / "theirs")]
    real, count = command._scored, 0

    def dying(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(command, "_scored", dying)
        _evaluate(tmp_path / "out", *words)
    _evaluate(tmp_path / "out", *words)
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert list(record["rejects"]) == ["Ann - Öl, theirs"]


def test_scores_at_another_rate_are_those_of_resampled_signals(songs: Path, tmp_path: Path) -> None:
    """What lies above the rate counts no more: noise up there costs nothing."""
    song = _truth(songs, "Ben - B", "vocals")
    time = np.arange(song.shape[1]) / RATE
    high = 0.05 * np.sin(2 * np.pi * 7000 * time)
    for name in ("Ann - Öl", "Ben - B", "Cy - C"):
        vocals = _truth(songs, name, "vocals") + high.astype(np.float32)
        audio.write(f"{tmp_path}/theirs/{name}/vocals.wav", vocals, RATE, "FLOAT")
    words = ["--stems", str(songs), "--estimates", str(tmp_path / "theirs")]
    full = _evaluate(tmp_path / "full", *words)
    low = _evaluate(tmp_path / "low", *words, "--score-rate", "8192")
    for key, row in low.items():
        assert row["usdr_estimate"] > full[key]["usdr_estimate"] + 20
        truth = audio.resample(_truth(songs, key[0], "vocals"), RATE, 8192)
        guess = audio.resample(
            audio.read(f"{tmp_path}/theirs/{key[0]}/vocals.wav").samples, RATE, 8192
        )
        assert row["usdr_estimate"] == pytest.approx(float(usdr(truth, guess)), abs=1e-2)
        assert row["duration_s"] == 3 and row["frames"] == 3
    assert json.loads((tmp_path / "low/run.json").read_text())["options"]["score_rate"] == 8192
    with pytest.raises(BadUsage, match="--score-rate 8192, not None"):
        _evaluate(tmp_path / "low", *words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--estimates", "{here}/none"], "does not exist; name a folder"),
        (["--estimates", "{here}/songs/Ben - B/vocals.wav"], "is a file; name a folder"),
        (["--estimates", "{here}/songs/Ben - B"], "no estimates in it; needs SONG/vocals.wav"),
        ([], "needs --checkpoint or --estimates"),
        (["--estimates", "{here}/songs", "--score-rate", "8"], "8 is no rate from 1000"),
        (["--estimates", "{here}/songs", "--score-rate", "x"], "--score-rate"),
    ],
)
def test_bad_usage_is_one_line(words: list[str], says: str, songs: Path, tmp_path: Path) -> None:
    given = [word.format(here=tmp_path) for word in words]
    with pytest.raises(BadUsage) as caught:
        _evaluate(tmp_path / "out", "--stems", str(songs), *given)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_estimates_of_no_song_say_so(songs: Path, tmp_path: Path) -> None:
    audio.write(f"{tmp_path}/theirs/Another/vocals.wav", sing(0, 3)[0], RATE)
    with pytest.raises(Failed, match="none of 3 songs can be evaluated"):
        _evaluate(tmp_path / "out", "--stems", str(songs), "--estimates", str(tmp_path / "theirs"))


@pytest.mark.slow
def test_an_accompaniment_is_not_scored_beside_its_own_parts(songs: Path, tmp_path: Path) -> None:
    """What it is beside changes no other stem's score, and where the vocals are silent its mixture
    is the accompaniment itself, and counts for nothing."""
    _near(songs, tmp_path / "parts", FOUR)
    _near(songs, tmp_path / "all", FOUR)
    for song in songs.iterdir():
        both = sum(_truth(songs, song.name, stem) for stem in ("drums", "bass"))
        noise = np.random.default_rng(1).standard_normal(both.shape)
        noisy = (both + 0.1 * both.std() * noise).astype(np.float32)
        audio.write(f"{tmp_path}/all/{song.name}/accompaniment.wav", noisy, RATE, "FLOAT")
    quiet = songs / "Cy - C/vocals.wav"
    audio.write(str(quiet), 0 * audio.read(str(quiet)).samples, RATE, "FLOAT")
    words = ["--stems", str(songs), "--metrics", "all", "--estimates"]
    parts = _evaluate(tmp_path / "p", *words, str(tmp_path / "parts"))
    every = _evaluate(tmp_path / "a", *words, str(tmp_path / "all"))
    for (song, source, _), row in parts.items():
        other = every[song, source, "all"]
        np.testing.assert_equal(other | {"system": ""}, row | {"system": ""})
    rest = every["Ben - B", "accompaniment", "all"]
    assert rest["sir_frame_median"] > 15 and 15 < rest["usdr_estimate"] < 25
    found = json.loads((tmp_path / "a/run.json").read_text())["statistics"]
    assert found["accompaniment by all"]["usdr_mixture"]["songs"] == 2
    assert found["accompaniment by all"]["usdr_mixture"]["max"] < 40
    assert found["drums by all"]["usdr_mixture"]["songs"] == 3
