"""`stemlode perturb-songs`: a folder of songs, each as `perturb` does it, one reject a bad song."""

import json
from pathlib import Path

import numpy as np
import pytest

from stemlode import audio, cli, runs, tables
from tests.training.amicable.conftest import song
from tests.training.amicable.test_command import HERE
from tests.training.conftest import RATE
from training.amicable import perturb

QUICK = ["--model", f"{HERE}:half", "--iterations", "3", "--stpr-weight", "2"]


@pytest.fixture(scope="module")
def stems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs, one of them with its mixture, and one whose stems do not fit it."""
    root = tmp_path_factory.mktemp("songs")
    for seed, name in enumerate(("one", "two", "wrong")):
        whole = song(1.2, seed=seed)
        parts = dict(whole.stems)
        if name != "one":
            parts["mixture"] = whole.mixture if name == "two" else song(1.2, seed=9).mixture
        for stem, samples in parts.items():
            audio.write(str(root / name / f"{stem}.wav"), samples, RATE, "FLOAT")
    return root


def _run(stems: Path, output: Path, *words: str) -> int:
    return cli.main(
        ["perturb-songs", "--stems", str(stems), *QUICK, "--output", str(output), *words]
    )


def test_every_song_is_perturbed_and_a_bad_one_is_a_reject(stems: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _run(stems, out) == 0
    record = runs.record(str(out))
    assert record["counts"] == {
        "songs": 2,
        "audio_seconds": 2,  # of 1.2 s each
        "rejected": 1,
        "rejects/sum": 1,
    }
    (bad,) = tables.read(str(out), "rejects").to_pylist()
    assert bad["key"] == "wrong" and "do not sum to the mixture" in bad["message"]
    assert {f"{name}/{file}" for name in ("one", "two") for file in perturb.FILES} < {
        *record["outputs"]
    }
    for seed, name in enumerate(("one", "two")):
        found = audio.read(str(out / name / "perturbed.wav")).samples
        added = audio.read(str(out / name / "perturbation.wav")).samples
        assert np.allclose(found, song(1.2, seed=seed).mixture + added, atol=1e-6)
        assert json.loads((out / name / "report.json").read_text())["models"]
    assert not (out / "_parts").exists()

    alone = tmp_path / "alone"
    words = ["perturb", stems / "two/mixture.wav", "--stems", stems / "two", *QUICK]
    assert cli.main([str(word) for word in (*words, "--output", alone)]) == 0
    assert (alone / "perturbed.wav").read_bytes() == (out / "two/perturbed.wav").read_bytes()


def test_a_rerun_does_what_is_missing(
    stems: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, made = tmp_path / "out", perturb.perturb
    done: list[str] = []

    def dying(*given: object, title: str, **more: object) -> object:
        if title == "two" and len(done) < 2:
            done.append(title)
            raise OSError("the disk is gone")
        done.append(title)
        return made(*given, title=title, **more)

    monkeypatch.setattr(perturb, "perturb", dying)
    assert _run(stems, out) == 1
    assert not (out / "_SUCCESS").exists()
    assert 0 in (_run(stems, out) for _ in range(3))
    assert done.count("one") == 1 and (out / "two/perturbed.wav").exists()
    assert _run(stems, out) == 0
    assert "already complete" in capsys.readouterr().out


def test_options_are_refused_before_anything_is_written(
    stems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(stems, tmp_path / "out", "--weight", "1", "--weight", "2") == 2
    assert "--weight is given 2 times" in capsys.readouterr().err
    assert _run(stems, tmp_path / "out", "--model", "net.onnx") == 2
    assert "no gradient passes through an ONNX file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
