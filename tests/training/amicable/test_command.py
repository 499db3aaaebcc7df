"""`stemlode perturb` as a user runs it: what it writes, what it refuses, and how it goes on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from stemlode import audio, cli
from tests.training.amicable.conftest import song, tiny
from tests.training.conftest import RATE
from training import checkpoint
from training.amicable import optimise, perturb

HERE = "tests.training.amicable.separators"
QUICK = ["--iterations", "3", "--stpr-weight", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mixture, its stems and two nets."""
    root = tmp_path_factory.mktemp("amicable")
    whole = song(2.2)
    audio.write(str(root / "song.wav"), whole.mixture, RATE, "FLOAT")
    for stem, samples in whole.stems.items():
        audio.write(str(root / "stems" / f"{stem}.wav"), samples, RATE, "FLOAT")
    for name in ("unet-vocals", "unet-instrumental"):
        checkpoint.save(str(root / name), tiny(name))
    return root


def _run(folder: Path, *words: str | Path, stems: Path | None = None) -> int:
    given = ["perturb", folder / "song.wav", "--stems", stems or folder / "stems", *words]
    return cli.main([str(word) for word in given])


def test_it_writes_a_song_that_is_separated_otherwise(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two nets that are one separator, a program as the second, all that is reported."""
    pair = f"{folder / 'unet-vocals'},{folder / 'unet-instrumental'}"
    out = tmp_path / "out"
    words = ["--model", pair, "--model", f"{HERE}:half", "--weight", "1", "--weight=-auto"]
    words += ["--pcm", "16", "--codec", "mp3:128", "--codec-noise", "opus:64", *QUICK]
    words += ["--domain", "waveform", "--domain", "stft"]
    assert _run(folder, *words, "--output", out) == 0
    told = capsys.readouterr()
    assert "unet-vocals hears up to 4.096 kHz" in told.err and "negative weight" in told.err
    assert {path.name for path in out.iterdir()} >= {*perturb.FILES, "run.json", "_SUCCESS"}

    mixture = audio.read(str(folder / "song.wav")).samples
    assert soundfile.info(out / "perturbed.wav").subtype == "PCM_16"
    perturbed, added = (
        audio.read(str(out / f"{n}.wav")).samples for n in ("perturbed", "perturbation")
    )
    assert np.abs(mixture + added - perturbed).max() < 1.01 / 32768
    assert np.abs(added).max() > 1e-3

    report = json.loads((out / "report.json").read_text())
    error = np.sum((perturbed - mixture) ** 2, dtype=np.float64)
    whole = 10 * np.log10(np.sum(mixture**2, dtype=np.float64) / error)
    assert report["di_sdr"]["whole"] == pytest.approx(whole, abs=1e-3)
    assert [model["weight"] > 0 for model in report["models"]] == [True, False]
    for model in report["models"]:
        kinds = ("before", "after", "random_noise", "after_in_float")
        assert all(model[kind].keys() == {"vocals", "accompaniment"} for kind in kinds)
    (half,) = (m for m in report["models"] if m["name"] == f"{HERE}:half")
    vocals = song(2.2).stems["vocals"]
    own = 10 * np.log10(np.sum(vocals**2) / np.sum((vocals - perturbed / 2) ** 2))
    assert half["after"]["vocals"]["whole"] == pytest.approx(own, abs=0.01)
    assert report["pcm"]["bits"] == 16 and report["pcm"]["error_db"] < -50
    (codec,) = report["codecs"]
    assert codec["codec"] == "mp3:128" and len(codec["models"]) == 2
    assert len(report["stpr_profile_db"]) == -(-mixture.shape[1] // 4096)

    page = (out / "report.html").read_text()
    assert page.count("<audio") == 3 + 4 and page.count("data:image/png") == 3
    assert "http" not in page
    assert _run(folder, *words, "--output", out) == 0
    assert "already complete" in capsys.readouterr().out


def test_what_clips_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = song(1.2)
    loud = 3 / np.abs(whole.mixture).max()
    audio.write(str(tmp_path / "song.wav"), whole.mixture * loud, RATE, "FLOAT")
    for stem, samples in whole.stems.items():
        audio.write(str(tmp_path / "stems" / f"{stem}.wav"), samples * loud, RATE, "FLOAT")
    words = ["--model", f"{HERE}:half", *QUICK, "--pcm", "16", "--output", tmp_path / "out"]
    assert _run(tmp_path, *words) == 0
    assert "samples were clipped to 16 bits" in capsys.readouterr().err


def test_a_killed_run_goes_on_to_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--model", folder / "unet-vocals", "--iterations", "8", "--target-di-sdr", "whole:30"]
    monkeypatch.setattr(optimise, "SEARCH_ITERATIONS", 4)
    monkeypatch.setattr(perturb, "SAVE_EVERY_S", 0.0)
    assert _run(folder, *words, "--output", tmp_path / "whole") == 0
    for dies_at in (3, 17):
        steps = 0
        step = optimise.adam

        def dying(*given: Any, step: Any = step, dies_at: int = dies_at) -> None:
            nonlocal steps
            steps += 1
            if steps == dies_at:
                raise RuntimeError("killed")
            step(*given)

        with monkeypatch.context() as patched:
            patched.setattr(optimise, "adam", dying)
            assert _run(folder, *words, "--output", tmp_path / "killed") == 1
        assert not (tmp_path / "killed" / "_SUCCESS").exists()
    assert _run(folder, *words, "--output", tmp_path / "killed") == 0
    for name in ("perturbed.wav", "perturbation.wav"):
        one, other = ((tmp_path / run / name).read_bytes() for run in ("whole", "killed"))
        assert one == other
    assert not (tmp_path / "killed" / "_parts").exists()


class _Scripted(nn.Module):
    def forward(self, mixture: Tensor) -> Tensor:
        return torch.stack([mixture * 0.7, mixture * 0.3], dim=1)


def test_torchscript_is_a_model(folder: Path, tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(_Scripted()), tmp_path / "net.pt")
    facts = {"sample_rate": RATE, "sources": ["vocals", "accompaniment"]}
    (tmp_path / "net.json").write_text(json.dumps(facts))
    words = ["--model", tmp_path / "net.pt", *QUICK, "--output", tmp_path / "out"]
    assert _run(folder, *words) == 0
    (model,) = json.loads((tmp_path / "out" / "report.json").read_text())["models"]
    assert model["gain_db"]["whole"] is not None


REFUSED_MODELS = [
    ("net.onnx", "net.onnx: no gradient passes through an ONNX file; give the checkpoint"),
    (f"{HERE}:detached", "no gradient passes through it: a part of it is not differentiable"),
    (f"{HERE}:rounded", "no gradient passes through it: it is 0 everywhere"),
    (f"{HERE}:nobody", "--model tests.training.amicable.separators:nobody"),
    ("nowhere", "--model nowhere"),
]


@pytest.mark.parametrize(("model", "line"), REFUSED_MODELS)
def test_a_model_that_lets_no_gradient_through_is_refused(
    model: str, line: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(folder, "--model", model, *QUICK, "--output", tmp_path / "out") in (1, 2)
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert line in told and not (tmp_path / "out").exists()


def _silent(stems: Path, mixture: Path) -> None:
    for path in (*stems.iterdir(), mixture):
        audio.write(str(path), np.zeros((2, 9000), np.float32), RATE, "FLOAT")


def _other(stems: Path, mixture: Path) -> None:
    audio.write(str(stems / "vocals.wav"), song(2.2, seed=5).mixture, RATE, "FLOAT")


def _short(stems: Path, mixture: Path) -> None:
    audio.write(str(stems / "vocals.wav"), song(1.2).stems["vocals"], RATE, "FLOAT")


def _slow(stems: Path, mixture: Path) -> None:
    audio.write(str(stems / "vocals.wav"), song(2.2).stems["vocals"], 22_050, "FLOAT")


def _nan(stems: Path, mixture: Path) -> None:
    audio.write(str(stems / "vocals.wav"), np.full((2, 9000), np.nan), RATE, "FLOAT")


def _text(stems: Path, mixture: Path) -> None:
    (stems / "vocals.wav").write_text("la la la")


def _twice(stems: Path, mixture: Path) -> None:
    audio.write(str(stems / "vocals.flac"), song(2.2).stems["vocals"], RATE)


def _unnamed(stems: Path, mixture: Path) -> None:
    for path in stems.iterdir():
        path.unlink()


BAD_SONGS = [
    (_silent, "the mixture is silent"),
    (_other, "the stems do not sum to the mixture (error"),
    (_short, "vocals.wav lasts 1.200 s, song.wav 2.200 s; cut them to one length"),
    (_slow, "vocals.wav has 22050 Hz, song.wav 16000 Hz; resample one of them"),
    (_nan, "vocals.wav: samples that are not finite"),
    (_text, "vocals.wav: "),
    (_twice, "two files of vocals"),
    (_unnamed, "holds no stems (vocals.wav"),
]


@pytest.mark.parametrize(("spoil", "line"), BAD_SONGS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_song_that_cannot_be_used_is_one_line(
    spoil: Any, line: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = song(2.2)
    for stem, samples in whole.stems.items():
        audio.write(str(tmp_path / "stems" / f"{stem}.wav"), samples, RATE, "FLOAT")
    audio.write(str(tmp_path / "song.wav"), whole.mixture, RATE, "FLOAT")
    spoil(tmp_path / "stems", tmp_path / "song.wav")
    assert _run(tmp_path, "--model", f"{HERE}:half", *QUICK, "--output", tmp_path / "out") != 0
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert line in told
    assert not (tmp_path / "out" / "_SUCCESS").exists()


def test_a_song_without_a_voice_has_a_silent_one(folder: Path, tmp_path: Path) -> None:
    """An instrumental in stems: what a model takes for vocals is error."""
    whole = song(2.2)
    for old, new in (("vocals", "drums"), ("accompaniment", "bass")):
        audio.write(str(tmp_path / "stems" / f"{new}.wav"), whole.stems[old], RATE, "FLOAT")
    words = ["--model", f"{HERE}:half", *QUICK, "--output", tmp_path / "out"]
    assert _run(folder, *words, stems=tmp_path / "stems") == 0
    (model,) = json.loads((tmp_path / "out" / "report.json").read_text())["models"]
    assert model["after"]["vocals"] == {"median": None, "whole": None}


REFUSED = [
    (["--weight", "1", "--weight", "2"], "--weight is given 2 times for 1 --model"),
    (["--weight", "0"], "--weight 0: leave the model out"),
    (["--target-di-sdr", "mean:27"], "--target-di-sdr mean:27: not 27.8, median:27.8"),
    (["--codec", "mp3"], "--codec mp3: not mp3:KBIT, opus:KBIT, aac:KBIT"),
    (["--codec", "mp3:9999"], "--codec mp3:9999: from 16 to 512 kbit/s"),
    (["--iterations", "0"], "0 is not from 1 to 100000"),
    (["--stpr-weight", "nan"], "nan must be 0 or more"),
    (["--stpr-weight", "much"], "much must be 0 or more"),
    (["--weight", "x"], "x is no weight"),
    (["--stems", "/nowhere"], "/nowhere: holds no stems"),
]


@pytest.mark.parametrize(("words", "line"), REFUSED, ids=lambda x: "")
def test_an_option_that_makes_no_sense_is_one_line(
    words: list[str], line: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(folder, "--model", f"{HERE}:half", *words, "--output", tmp_path / "out") == 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert line in told
