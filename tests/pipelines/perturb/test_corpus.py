"""`stemlode perturb-songs --corpus`: songs put together from their chunks, as from their files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemlode import audio, cli, runs, tables
from stemlode.audio import AudioError
from stemlode.shards import songs
from tests.training.amicable.conftest import song
from tests.training.amicable.test_command import HERE
from tests.training.conftest import RATE
from training.amicable import perturb

QUICK = ["--model", f"{HERE}:half", "--iterations", "2", "--stpr-weight", "2"]
GAP = slice(RATE, 4 * RATE)  # of which a corpus leaves out what no salient window touches


@pytest.fixture(scope="module")
def stems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song, one that is silent for a second, and a voice alone; 16 bits, as a corpus keeps."""
    root = tmp_path_factory.mktemp("songs")
    for seed, name in enumerate(("one", "with a gap")):
        for stem, sung in song(5.3, seed=seed).stems.items():
            samples = np.array(sung)
            samples[:, GAP] *= name == "one"
            audio.write(str(root / "stems" / name / f"{stem}.wav"), samples, RATE)
    audio.write(str(root / "voices" / "alone.wav"), song(1.2, seed=7).stems["vocals"], RATE)
    return root


@pytest.fixture(scope="module")
def corpus(stems: Path) -> Path:
    """Those songs in chunks of a second, without the silent one."""
    output = stems / "corpus"
    words = ["corpus", "--stems", stems / "stems", "--vocals", stems / "voices"]
    words += ["--sample-rate", RATE, "--chunk-seconds", "1", "--split", "train=1"]
    words += ["--window-seconds", "0.5", "--fingerprints", "off", "--output", output]
    assert cli.main([str(word) for word in words]) == 0
    return output


@pytest.mark.slow
def test_songs_of_a_corpus_give_what_their_files_give(
    stems: Path, corpus: Path, tmp_path: Path
) -> None:
    for option, folder in (("stems", stems / "stems"), ("corpus", corpus)):
        words = ["perturb-songs", f"--{option}", str(folder), *QUICK]
        assert cli.main([*words, "--output", str(tmp_path / option)]) == 0
    for name in ("one", "with a gap"):
        one, other = (tmp_path / option / name for option in ("stems", "corpus"))
        for file in (perturb.PERTURBED, perturb.PERTURBATION):
            assert (one / file).read_bytes() == (other / file).read_bytes()
        reports = [json.loads((folder / "report.json").read_text()) for folder in (one, other)]
        said = [report.pop("notes") for report in reports]
        assert reports[0] == reports[1]
        gap = "the corpus lacks 1.0 to 4.0 s of the song, which is taken for silent there"
        assert (gap in said[1]) == (name == "with a gap") and gap not in said[0]
    record = runs.record(str(tmp_path / "corpus"))
    found = {
        "audio_seconds": 10,
        "songs": 2,
        "songs_with_gaps": 1,
        "songs_without_stems": 1,
        "rejected": 0,
    }
    assert record["counts"] == found
    assert any("1 songs lack chunks" in note for note in record["notes"])
    assert any("1 recordings of the corpus are no songs" in note for note in record["notes"])


def _rows(corpus: Path) -> list[dict[str, Any]]:
    """Of the song without a gap."""
    every = tables.read(str(corpus), "index", songs.COLUMNS).to_pylist(maps_as_pydicts="strict")
    by_song: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(every, key=lambda row: row["start_s"]):
        by_song.setdefault(row["song_id"], []).append(row)
    return max(by_song.values(), key=len)


def _overlap(rows: list[dict[str, Any]]) -> None:
    rows[1]["start_s"] = 0.5


def _other_rate(rows: list[dict[str, Any]]) -> None:
    rows[1]["sample_rate"] = 8000


def _nowhere(rows: list[dict[str, Any]]) -> None:
    rows[1]["start_s"] = 1e12


def _elsewhere(rows: list[dict[str, Any]]) -> None:
    rows[0]["offset"], rows[0]["size"] = rows[1]["offset"], rows[1]["size"]


def _longer(rows: list[dict[str, Any]]) -> None:
    rows[2]["duration_s"] += 1


SPOILT = [
    (_overlap, "two chunks lie at 0.5 s"),
    (_other_rate, "several sample rates"),
    (_nowhere, "no place in a song"),
    (_elsewhere, "another sample lies in its place"),
    (_longer, "frames of "),
]


@pytest.mark.parametrize(("spoil", "line"), SPOILT, ids=lambda x: getattr(x, "__name__", ""))
def test_an_index_that_cannot_be_is_one_line(spoil: Any, line: str, corpus: Path) -> None:
    rows = _rows(corpus)
    found, rate = songs.sources(str(corpus), rows)
    assert rate == RATE and {*found} == {"mixture", "vocals", "accompaniment"}
    assert songs.missing(rows) == [] and songs.missing(rows[1:]) == [(0.0, 1.0)]
    spoil(rows)
    with pytest.raises(AudioError, match=line):
        songs.sources(str(corpus), rows)


WRONG = [
    ([], "needs --stems or --corpus"),
    (["--stems", "{stems}/stems", "--corpus", "{corpus}"], "either, not both"),
    (["--corpus", "{stems}/stems"], "--corpus "),
    (["--corpus", "{corpus}", "--mapping", "x.toml"], "--mapping says how --stems lies"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=lambda x: "")
def test_what_is_no_input_is_one_line(
    words: list[str], line: str, stems: Path, corpus: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given = [word.format(stems=stems, corpus=corpus) for word in words]
    out = tmp_path / "out"
    assert cli.main(["perturb-songs", *given, *QUICK, "--output", str(out)]) == 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert line in told and not out.exists()
