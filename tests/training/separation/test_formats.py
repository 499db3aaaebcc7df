"""Stems in the formats that people play: whole, as loud as they may be, and still a sum."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlode import audio
from stemlode.runs import BadUsage, Failed
from tests.training.conftest import sing
from training.separation import command, formats

RATE = 44_100
STEMS = ("vocals", "accompaniment")
KINDS = {  # options, and how near the float stems it is, in dB
    ("--format", "wav", "--bits", "16"): 70,
    ("--format", "wav", "--bits", "24"): 120,
    ("--format", "flac"): 120,
    ("--format", "flac", "--bits", "16"): 70,
    ("--format", "mp3"): 15,
    ("--format", "mp3", "--mp3-bitrate", "128"): 8,
    ("--format", "opus"): 10,
    ("--format", "m4a"): 10,
    ("--format", "ogg"): 10,
}


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song far above full scale, as its stems then are."""
    path = tmp_path_factory.mktemp("song") / "loud.wav"
    vocals, accompaniment = sing(7, 1.5, RATE)
    soundfile.write(path, 12 * (vocals + accompaniment).T, RATE, subtype="FLOAT")
    return path


def _separate(song: Path, model: Path, output: Path, *options: str) -> dict[str, np.ndarray]:
    words = [str(song), "--checkpoint", str(model), "--output", str(output), *options]
    assert command.main(words) == 0
    found = {path.stem: audio.read(str(path)) for path in (output / "loud").iterdir()}
    assert all(one.samples.shape[0] == 2 for one in found.values())
    return {name: audio.resample(one.samples, one.sample_rate, RATE) for name, one in found.items()}


@pytest.fixture(scope="module")
def exact(
    song: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    return _separate(song, tiny_checkpoint, tmp_path_factory.mktemp("exact") / "out")


@pytest.mark.parametrize(("options", "db"), KINDS.items(), ids=lambda given: str(given)[:40])
def test_each_holds_the_whole_stems_at_one_gain(
    options: tuple[str, ...],
    db: float,
    song: Path,
    exact: dict[str, np.ndarray],
    tiny_checkpoint: Path,
    tmp_path: Path,
) -> None:
    found = _separate(song, tiny_checkpoint, tmp_path / "out", *options)
    assert {path.suffix for path in (tmp_path / "out/loud").iterdir()} == {f".{options[1]}"}
    peak = max(float(np.abs(stem).max()) for stem in exact.values())
    assert peak > 2  # or nothing is tested
    for name, stem in exact.items():
        heard = found[name]
        lossless = options[1] in ("wav", "flac")
        assert heard.shape == stem.shape or (
            not lossless and abs(heard.shape[1] - stem.shape[1]) < 0.06 * RATE
        )
        length = min(heard.shape[1], stem.shape[1])
        wanted, heard = stem[:, :length] / peak, heard[:, :length]
        noise = float(np.square(heard - wanted).sum())
        assert 10 * np.log10(np.square(wanted).sum() / noise) > db, name
    if options[1] == "flac":
        whole = audio.read(str(song)).samples / peak
        assert np.abs(sum(found.values()) - whole).max() < 2e-4


def test_clamped_stems_keep_their_level(
    song: Path, exact: dict[str, np.ndarray], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    options = ("--format", "flac", "--clip", "clamp")
    found = _separate(song, tiny_checkpoint, tmp_path / "out", *options)
    for name, stem in exact.items():
        assert np.abs(found[name] - np.clip(stem, -1, 1)).max() < 1e-6


def test_a_full_folder_for_temporary_files_is_named(
    song: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise soundfile.LibsndfileError(2)  # as of a disk without room

    monkeypatch.setattr(formats, "_say", full)
    with pytest.raises(Failed, match=rf"^{song}: temporary files in .* \(TMPDIR\): flac: "):
        _separate(song, tiny_checkpoint, tmp_path / "out", "--format", "flac")
    assert not list(tmp_path.rglob("*.flac"))


def test_only_the_stems_that_are_asked_for_are_written(
    song: Path, exact: dict[str, np.ndarray], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    found = _separate(song, tiny_checkpoint, tmp_path / "out", "--stems", "accompaniment")
    assert [*found] == ["accompaniment"]
    assert np.array_equal(found["accompaniment"], exact["accompaniment"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--stems", "vocals,drums"), "--stems drums: these models give vocals, accompaniment"),
        (("--format", "mp3", "--bits", "16"), "--bits 16: mp3 has none"),
        (("--format", "flac", "--bits", "float"), "--bits float: FLAC holds integers"),
        (("--mp3-bitrate", "128"), "--mp3-bitrate: wav is no mp3"),
        (("--format", "mp3", "--mp3-bitrate", "9"), "--mp3-bitrate 9: MP3 has 32, 40"),
        (("--format", "mp3", "--mp3-bitrate", "100"), "--mp3-bitrate 100: MP3 has 32, 40"),
    ],
)
def test_what_does_not_go_together_is_refused(
    options: tuple[str, ...], said: str, song: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadUsage, match=said):
        _separate(song, tiny_checkpoint, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()
