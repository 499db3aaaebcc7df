"""What `perturb-songs --estimate` says beside what a run then gives."""

from pathlib import Path

import pytest

from pipelines import estimates
from pipelines.perturb import estimate
from stemlode import audio, cli, runs
from tests.pipelines.corpus.test_estimate import near, said
from tests.training.amicable.conftest import song
from tests.training.amicable.test_command import HERE
from tests.training.conftest import RATE

QUICK = ["--model", f"{HERE}:half", "--iterations", "2", "--stpr-weight", "2"]
LENGTHS = (1.0, 1.6, 1.2, 2.0, 1.4)  # seconds


@pytest.fixture(scope="module")
def stems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Songs without mixtures, 16 bits, as a corpus keeps."""
    root = tmp_path_factory.mktemp("songs") / "stems"
    for number, seconds in enumerate(LENGTHS):
        for stem, samples in song(seconds, seed=number).stems.items():
            audio.write(str(root / f"{number}" / f"{stem}.wav"), samples, RATE)
    return root


def _estimated(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(["perturb-songs", *QUICK, *words, "--estimate"]) == 0
    return capsys.readouterr().out


@pytest.mark.slow
def test_of_a_folder_and_of_a_corpus(
    stems: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(estimate, "HEARD_S", 0.7)  # a stretch of each
    text = _estimated(capsys, "--stems", str(stems))
    assert "tried 3 of 5 songs" in text and "λ" not in text
    out, corpus = tmp_path / "out", str(tmp_path / "corpus")
    assert cli.main(["perturb-songs", *QUICK, "--stems", str(stems), "--output", str(out)]) == 0
    _near(said(text), out, estimates.written_by(str(stems)))
    words = ["corpus", "--stems", str(stems), "--sample-rate", str(RATE), "--chunk-seconds", "1"]
    words += ["--fingerprints", "off", "--window-seconds", "0"]
    assert cli.main([*words, "--output", corpus]) == 0
    capsys.readouterr()
    of_corpus = said(_estimated(capsys, "--corpus", corpus))
    read = sum(path.stat().st_size for path in Path(corpus).glob("*/*.tar"))
    _near(of_corpus, out, read)


def _near(found: dict[str, float], out: Path, read: int) -> None:
    near(found["rows"], runs.record(str(out))["counts"]["songs"])
    near(found["audio"] * 3600, sum(LENGTHS))
    near(found["to write"], estimates.written_by(str(out)))
    near(found["to read"], read)


def test_it_counts_rejects_and_says_what_it_takes_for_granted(
    stems: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    audio.write(str(tmp_path / "bad/vocals.wav"), song(1.0).stems["vocals"], RATE)
    audio.write(str(tmp_path / "bad/drums.wav"), song(1.3).stems["vocals"], RATE)
    (tmp_path / "good").symlink_to(stems / "0")
    text = _estimated(capsys, "--stems", str(tmp_path), "--target-di-sdr", "20")
    assert "about 1 rejects; in the sample: lengths (1)" in text
    assert "note: each song's search for λ is counted at its longest" in text
    assert said(text)["rows"] == 1
    assert cli.main(["perturb-songs", *QUICK, "--stems", str(tmp_path / "x"), "--estimate"]) == 2
