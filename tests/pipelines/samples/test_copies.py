"""Augmented copies in a corpus: only of train, sums exact, what was done is written down."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.samples import augmentation, copies, recordings
from pipelines.samples.recordings import Facts, Shape
from stemlode import audio, cli, runs, tables
from stemlode.layouts import folders
from stemlode.shards import tar
from tests.matching.sound.test_fingerprints import _music

RATE = 8000
SMALL = [
    "--sample-rate",
    "8000",
    "--channels",
    "1",
    "--chunk-seconds",
    "4",
    "--window-seconds",
    "1",
]


@pytest.fixture(scope="module")
def stems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three songs of notes, with a voice, two stems and a mixture."""
    folder = tmp_path_factory.mktemp("stems")
    for song in range(3):
        (folder / f"song {song}").mkdir()
        parts = {n: _music(10 * song + s, 9) for s, n in enumerate(("vocals", "bass", "keys"))}
        parts["mixture"] = sum(parts.values())  # type: ignore[assignment]
        for name, samples in parts.items():
            soundfile.write(folder / f"song {song}/{name}.wav", samples, RATE, subtype="FLOAT")
    (folder.parent / "list.csv").write_text("song,split\nsong 0,train\nsong 1,train\nsong 2,test\n")
    return folder


def _corpus(stems: Path, out: Path, *argv: str) -> list[dict]:
    lists = ["--splits", str(stems.parent / "list.csv"), "--fingerprints", "off"]
    command = ["corpus", "--stems", str(stems), "--output", str(out), *SMALL, *lists, *argv]
    assert cli.main(command) == 0
    return tables.read(str(out), "index").to_pylist(maps_as_pydicts="strict")


@pytest.mark.slow
def test_copies_are_of_train_alone_and_their_sums_are_exact(stems: Path, tmp_path: Path) -> None:
    index = _corpus(stems, tmp_path / "out", "--augment", "2")
    assert cli.main(["verify", str(tmp_path / "out")]) == 0
    assert {row["augmentation"] for row in index if row["split"] == "test"} == {None}
    made = [row for row in index if row["augmentation"]]
    assert {row["split"] for row in made} == {"train"}
    assert {(row["song_id"], json.loads(row["augmentation"])["copy"]) for row in made} == {
        (song, copy) for song in {row["song_id"] for row in made} for copy in (1, 2)
    }
    for row in made:
        data = (tmp_path / "out" / row["shard"]).read_bytes()[row["offset"] :][: row["size"]]
        held = {
            name.removesuffix(".flac"): soundfile.read(io.BytesIO(file), dtype="int16")[0].astype(
                int
            )
            for name, file in tar.contents(data).items()
            if name.endswith(".flac")
        }
        assert (held["mixture"] == held["vocals"] + held["bass"] + held["keys"]).all()
        drawn = json.loads(row["augmentation"])
        assert set(drawn["stems"]) == {"vocals", "bass", "keys"}
        assert set(drawn["track"]) == set(augmentation.TRACK)
    counts = runs.record(str(tmp_path / "out"))["counts"]
    assert (counts["recordings"], counts["copies"], counts["multitracks"]) == (3, 4, 3)


@pytest.mark.slow
def test_the_seed_decides_every_byte(stems: Path, tmp_path: Path) -> None:
    hashes = {}
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        _corpus(stems, tmp_path / name, "--augment", "1", "--seed", seed)
        hashes[name] = runs.record(str(tmp_path / name))["outputs"]
    assert hashes["a"] == hashes["b"] != hashes["c"]


def test_a_copy_is_its_stems_with_the_effects_that_it_states(stems: Path) -> None:
    (song, *_) = recordings.of_songs(folders.read(str(stems), "folders", "own", None))
    (copy,) = copies.of(song, 1, 7)
    shape = Shape(60.0, RATE, 1, 24, 0.0)
    ((row, contents),) = copies.samples(copy, "train", "g", shape, Facts())
    drawn = json.loads(row["augmentation"])
    given = audio.read(str(stems / "song 0/keys.wav")).samples
    names = [*augmentation.CHANCES, *augmentation.TRACK]
    chosen = drawn["stems"]["keys"] | drawn["track"]
    expected = augmentation.apply(
        given, RATE, {name: chosen[name] for name in names if name in chosen}
    )
    found = soundfile.read(io.BytesIO(contents["keys.flac"]))[0] * row["scale"]
    assert np.abs(found[: expected.shape[1]] - expected[0]).max() < 2**-20
    assert found.shape[0] != given.shape[1]


def test_a_missing_rest_is_what_the_mixture_leaves(stems: Path) -> None:
    (song, *_) = recordings.of_songs(folders.read(str(stems), "folders", "own", None))
    parts = {name: song.parts[name] for name in ("mixture", "vocals")}
    held = copies._stems(parts)
    assert set(held) == {"vocals", "accompaniment"}
    assert [part.gain for part in held["accompaniment"]] == [1.0, -1.0]


@pytest.mark.slow
def test_the_effects_library_is_asked_for_only_where_it_is_needed(tmp_path: Path) -> None:
    """Without it, --augment is one line that says what to install, and all else runs."""
    code = (
        "import sys; sys.modules['pedalboard'] = None; import importlib.util as u; "
        "real = u.find_spec; "
        "u.find_spec = lambda n, *a: None if n == 'pedalboard' else real(n, *a); "
        "from stemlode import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    argv = ["corpus", "--stems", str(tmp_path / "none"), "--output", str(tmp_path / "out")]
    told = [
        subprocess.run(
            [sys.executable, "-c", code, *argv, *more], capture_output=True, text=True, check=False
        )
        for more in (["--augment", "1"], [])
    ]
    assert [done.returncode for done in told] == [2, 2]
    assert "pip install 'stemlode[augment]'" in told[0].stderr
    assert "none" in told[1].stderr and "pedalboard" not in told[1].stderr
