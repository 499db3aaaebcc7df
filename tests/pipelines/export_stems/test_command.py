"""`stemlode export-stems`: folders that other trainers open, and what is said of gaps."""

import csv
import glob
import os
from pathlib import Path
from typing import Any

import musdb
import numpy as np
import pytest
import soundfile

from pipelines.corpus import command as corpus_command
from pipelines.export_stems import command, songs
from stemlode import cli, files, runs
from stemlode.runs import BadUsage

RATE = 16_000
FOUR = ("bass", "drums", "other", "vocals")
NAMES = ["Ann - One", "a.b. con", "-rf é [x]*?", "same", "SAME", "Bob - Two\u202e", "x" * 200]
SPLIT = dict(
    zip(NAMES, ["train", "valid", "train", "train", "test", "valid", "train"], strict=True)
)


def _song(seed: int, seconds: float, channels: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    loud = 0.05 + 0.1 * seed / 8
    return {
        name: (loud * np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6, (channels, 1)))).astype(
            np.float32
        )
        for name, pitch in zip(FOUR, rng.uniform(60, 2000, 4), strict=True)
    }


def _with_a_gap(samples: np.ndarray) -> np.ndarray:
    """Three seconds, of which the second one is silent, and the same again."""
    whole = np.pad(samples, ((0, 0), (0, 3 * RATE - samples.shape[1])), mode="wrap")
    whole[:, RATE : 2 * RATE] = 0
    return np.concatenate([whole, whole], axis=1)


def _corpus(folder: Path, of: dict[str, dict[str, np.ndarray]], *options: str) -> Path:
    for name, stems in of.items():
        (folder / "stems" / name).mkdir(parents=True)
        for stem, samples in stems.items():
            soundfile.write(folder / "stems" / name / f"{stem}.wav", samples.T, RATE, "FLOAT")
    table = folder / "splits.csv"
    rows = [f'"{name}",{SPLIT.get(name, "train")}' for name in of]
    table.write_text("song,split\n" + "\n".join(rows) + "\n")
    words = ["--stems", str(folder / "stems"), "--splits", str(table), "--chunk-seconds", "1"]
    words += ["--sample-rate", str(RATE), "--output", str(folder / "corpus"), *options]
    assert corpus_command.main(words) == 0
    return folder / "corpus"


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, np.ndarray]]:
    """Songs by name; one is silent for two single seconds, one exceeds full scale."""
    found = {name: _song(seed, 2.5 + seed / 4) for seed, name in enumerate(NAMES)}
    found["Ann - One"] = {name: _with_a_gap(part) for name, part in found["Ann - One"].items()}
    found["same"] = {name: samples * 20 for name, samples in found["same"].items()}
    return found


@pytest.fixture(scope="module")
def corpus(known: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _corpus(
        tmp_path_factory.mktemp("four"), known, "--fingerprints", "off", "--window-seconds", "1"
    )


def _listed(output: Path) -> dict[str, dict[str, str]]:
    with (output / "splits.csv").open(newline="", encoding="utf-8") as file:
        return {row["song"]: row for row in csv.DictReader(file)}


def _read(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate == RATE
    return samples.T


@pytest.mark.slow
def test_musdb_opens_it_and_finds_what_was_packed(
    known: dict, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = [str(corpus), "--layout", "musdb", "--output", str(out)]
    assert cli.main(["export-stems", *words]) == 0
    listed = _listed(out)
    parts = {
        split: musdb.DB(root=out, is_wav=True, setup_file="mus.yaml", subsets="train", split=split)
        for split in ("train", "valid")
    }
    parts["test"] = musdb.DB(root=out, is_wav=True, setup_file="mus.yaml", subsets="test")
    assert {s: sorted(t.name for t in db) for s, db in parts.items()} == {
        s: sorted(name for name, row in listed.items() if row["split"] == s) for s in parts
    }
    assert [len(db) for db in parts.values()] == [4, 2, 1]
    for track in (track for db in parts.values() for track in db):
        assert track.rate == RATE and {*track.sources} == {*FOUR}
        audio = {name: source.audio for name, source in track.sources.items()}
        assert np.abs(sum(audio.values()) - track.audio).max() < 1e-3  # it reads 16 bits
        assert {"vocals", "accompaniment", "linear_mixture"} <= {*track.targets}
        rest = track.targets["accompaniment"].audio
        assert np.abs(rest - track.audio + audio["vocals"]).max() < 1e-3
    record = runs.record(str(out))
    assert record["counts"]["folders"] == len(known) and record["counts"]["rejected"] == 0
    assert all(files.sha256(str(out / path)) == sha for path, sha in record["outputs"].items())


def _as_msst(folder: Path, instruments: tuple[str, ...]) -> dict[str, int]:
    """The songs that Music-Source-Separation-Training lists for training (dataset type 1)."""
    found = {}
    for path in sorted(glob.glob(f"{folder}/*")):  # noqa: PTH207 (as there)
        if os.path.basename(path)[0] != "." and os.path.isdir(path):  # noqa: PTH119, PTH112
            lengths = {soundfile.info(f"{path}/{name}.wav").frames for name in instruments}
            (found[os.path.basename(path)],) = lengths  # noqa: PTH119
    return found


def test_msst_demucs_and_open_unmix_find_their_songs(
    known: dict, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert command.main([str(corpus), "--layout", "msst", "--output", str(out)]) == 0
    listed = _listed(out)
    for split in ("train", "valid", "test"):
        names = {name for name, row in listed.items() if row["split"] == split}
        lengths = _as_msst(out / split, FOUR)
        assert {*lengths} == names
        mixtures = glob.glob(f"{out}/{split}/*/mixture.wav")  # noqa: PTH207 (as MSST validates)
        assert len(mixtures) == len(names)
        folders = [f for f, inside, _ in os.walk(out / split) if not inside]  # as demucs does
        assert {Path(f).name for f in folders} == names
        assert all(soundfile.info(m).frames == lengths[Path(m).parent.name] for m in mixtures)


def test_samples_are_those_of_the_corpus_and_gaps_are_silent(
    known: dict, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert command.main([str(corpus), "--layout", "msst", "--output", str(out)]) == 0
    row = _listed(out)["Ann - One"]
    first = out / "train" / "Ann - One"
    whole = known["Ann - One"]
    assert float(row["silent_s"]) == 2
    for name in FOUR:
        assert np.abs(_read(first / f"{name}.wav") - whole[name]).max() < 1e-4
    total = sum(_read(first / f"{name}.wav") for name in FOUR)
    assert np.array_equal(total, _read(first / "mixture.wav"))
    loud = next(row for row in _listed(out).values() if float(row["gain"]) < 1)
    assert np.log2(float(loud["gain"])) % 1 == 0 and float(loud["peak"]) <= 1
    louder = _read(out / "train" / loud["song"] / "bass.wav") / float(loud["gain"])
    assert np.abs(louder - known["same"]["bass"][:, : louder.shape[1]]).max() < 1e-3
    said = " ".join(runs.record(str(out))["notes"])
    assert "silent for" in said and "softer" in said and "16,000 Hz" in said

    split = tmp_path / "split"
    words = [str(corpus), "--layout", "msst", "--gaps", "split", "--output", str(split)]
    assert command.main(words) == 0
    parts = [row for name, row in _listed(split).items() if name.startswith("Ann - One")]
    assert len(parts) == 3 and all(float(row["silent_s"]) == 0 for row in parts)
    starts = [float(row["start_s"]) for row in parts]
    assert starts == sorted(starts) and starts[0] == 0
    second = _read(split / "train" / parts[1]["song"] / "bass.wav")
    at = round(starts[1] * RATE)
    assert np.abs(second - whole["bass"][:, at : at + second.shape[1]]).max() < 1e-4


def test_a_rerun_goes_on_and_the_same_bytes_come_of_it(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [str(corpus), "--layout", "msst", "--output"]
    assert command.main([*words, str(tmp_path / "whole")]) == 0
    true_write, calls = command.writing.write, []

    def write(*given: Any) -> float:
        calls.append(given[2])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return true_write(*given)

    monkeypatch.setattr(command.writing, "write", write)
    with pytest.raises(KeyboardInterrupt):
        command.main([*words, str(tmp_path / "out")])
    assert command.main([*words, str(tmp_path / "out")]) == 0
    assert len(calls) == 3 + 5  # of seven songs two were there
    outputs = [runs.record(str(tmp_path / name))["outputs"] for name in ("whole", "out")]
    assert outputs[0] == outputs[1]
    assert command.main([*words, str(tmp_path / "out")]) == 0 and len(calls) == 8
    with pytest.raises(BadUsage, match="--gaps"):
        command.main([*words, str(tmp_path / "out"), "--gaps", "split"])


def test_a_damaged_chunk_costs_its_song(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    broken = tmp_path / "corpus"
    shutil.copytree(corpus, broken)
    held = songs.of_corpus(str(broken))
    key = next(key for key, name in held.names.items() if name == "SAME")
    row = held.index.take([held.at[key][1]]).to_pylist()[0]
    with (broken / row["shard"]).open("r+b") as file:
        file.seek(row["offset"] + 100)
        file.write(bytes(row["size"] - 100))
    words = [str(broken), "--layout", "musdb", "--output", str(tmp_path / "out")]
    assert command.main(words) == 0
    record = runs.record(str(tmp_path / "out"))
    assert [*record["rejects"]] == ["SAME"] and record["counts"]["rejected"] == 1
    assert f"left out SAME: {row['shard']}" in capsys.readouterr().err
    assert not [path for path in record["outputs"] if path.startswith("test/")]


def test_stems_are_summed_where_songs_differ_and_mono_is_written_twice(tmp_path: Path) -> None:
    whole = _song(1, 1.5, channels=1)
    rest = sum(part for name, part in _song(2, 1.5, channels=1).items() if name != "vocals")
    two = {"vocals": _song(2, 1.5, channels=1)["vocals"], "accompaniment": rest}
    made = _corpus(tmp_path, {"four": whole, "two": two}, "--channels", "1")
    words = [str(made), "--layout", "musdb", "--output"]
    with pytest.raises(BadUsage, match=r"different stems: .*--sources two or four"):
        command.main([*words, str(tmp_path / "own")])
    assert not (tmp_path / "own").exists()
    assert command.main([*words, str(tmp_path / "out"), "--sources", "two"]) == 0
    database = musdb.DB(root=tmp_path / "out", is_wav=True, setup_file="mus.yaml", subsets="train")
    assert sorted(track.name for track in database) == ["four", "two"]
    for track in database:
        assert track.audio.shape == (1.5 * RATE, 2) and {*track.sources} == {
            "vocals",
            "accompaniment",
        }
    backing = _read(tmp_path / "out" / "train" / "four" / "accompaniment.wav")
    expected = sum(whole[name] for name in FOUR if name != "vocals")
    assert np.abs(backing - expected).max() < 1e-3
    assert command.main([*words, str(tmp_path / "four"), "--sources", "four"]) == 0
    rejects = runs.record(str(tmp_path / "four"))["rejects"]
    assert rejects == {"two": "it has one accompaniment, not four sources"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "needs a CORPUS"),
        (["CORPUS"], "needs --layout"),
        (["CORPUS", "--layout", "musdb"], "needs --output"),
        (["CORPUS", "--layout", "moises"], "invalid choice"),
        (["nowhere", "--layout", "msst", "--output", "OUT"], "does not exist"),
        (["CORPUS", "--layout", "msst", "--output", "CORPUS"], "is that folder too"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: list[str], says: str, corpus: Path, tmp_path: Path
) -> None:
    named = {"CORPUS": str(corpus), "OUT": str(tmp_path / "out")}
    with pytest.raises(BadUsage, match=says):
        command.main([named.get(word, word) for word in words])
