"""Songs cut into samples: salient windows point into chunks, silence is left out of train alone."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.samples import recordings, sampling
from pipelines.samples.recordings import Facts, Recording, Shape
from stemlode import audio, cli, tables
from stemlode.audio import AudioError, activity
from stemlode.layouts import folders
from stemlode.shards import tar

RATE = 8000
SHAPE = Shape(12.0, RATE, 1)


def _write(folder: Path, **stems: list[float]) -> Recording:
    """A song whose stems have these mean powers, three seconds each, with a beat to them."""
    folder.mkdir(parents=True)
    for seed, (name, levels) in enumerate(stems.items()):
        rng = np.random.default_rng(seed)
        beat = np.sqrt(np.tile(np.linspace(0.5, 1.5, 600), 5 * 8))
        pieces = [
            np.sqrt(level) * rng.choice([-1.0, 1.0], 3 * RATE) * beat[: 3 * RATE]
            for level in levels
        ]
        soundfile.write(folder / f"{name}.wav", np.concatenate(pieces), RATE, subtype="FLOAT")
    (recording,) = recordings.of_songs(folders.read(str(folder.parent), "folders", "own", None))
    return recording


LOUD, QUIET = 0.02, 0.0
VOCALS = [LOUD] * 4 + [QUIET] * 16 + [LOUD] * 4  # 72 s
DRUMS = [LOUD] * 6 + [QUIET] * 18


def _rows(recording: Recording, split: str, shape: Shape = SHAPE) -> tuple[list[dict], Facts]:
    facts = Facts()
    rows = [row for row, _ in sampling.samples(recording, split, "g", shape, facts)]
    return rows, facts


def test_a_chunk_without_a_salient_source_is_left_out_of_train_alone(tmp_path: Path) -> None:
    recording = _write(tmp_path / "song", vocals=VOCALS, drums=DRUMS)
    rows, facts = _rows(recording, "train")
    assert [row["start_s"] for row in rows] == [0.0, 12.0, 60.0]
    assert (facts.chunks, facts.left_out, facts.duration_s) == (6, 3, 72.0)
    for split in ("valid", "test"):
        rows, facts = _rows(recording, split)
        assert [row["start_s"] for row in rows] == [0.0, 12.0, 24.0, 36.0, 48.0, 60.0]
        assert facts.left_out == 0


def test_windows_are_those_of_the_whole_source_and_point_into_chunks(tmp_path: Path) -> None:
    recording = _write(tmp_path / "song", vocals=VOCALS, drums=DRUMS)
    rows, _ = _rows(recording, "test")
    for name in ("vocals", "drums"):
        track, _ = soundfile.read(tmp_path / f"song/{name}.wav", always_2d=True)
        whole = activity.salient_starts(track.T, RATE)
        assert sorted({start for row in rows for start in row["salient"][name]}) == whole
        for row in rows:
            begin, end = row["start_s"], row["start_s"] + row["duration_s"]
            touching = [s for s in whole if s < end and s + activity.WINDOW_S > begin]
            assert row["salient"][name] == touching


def test_a_song_of_silence_is_a_reject_that_says_so(tmp_path: Path) -> None:
    recording = _write(tmp_path / "song", vocals=[QUIET] * 8, drums=[1e-4] * 8)
    with pytest.raises(AudioError, match="no source is salient") as error:
        _rows(recording, "train")
    assert error.value.error == "silent"
    assert len(_rows(recording, "test")[0]) == 2


def test_without_windows_every_chunk_stays(tmp_path: Path) -> None:
    recording = _write(tmp_path / "song", vocals=VOCALS, drums=DRUMS)
    rows, facts = _rows(recording, "train", Shape(12.0, RATE, 1, window_seconds=0.0))
    assert len(rows) == 6 and facts.left_out == 0
    assert {row["salient"] for row in rows} == {None}


def test_long_songs_wait_on_disk_and_come_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = _write(tmp_path / "song", vocals=VOCALS, drums=DRUMS)
    in_memory = list(sampling.samples(recording, "test", "g", SHAPE, Facts()))
    monkeypatch.setattr(sampling, "SPOOL_BYTES", 1)
    assert list(sampling.samples(recording, "test", "g", SHAPE, Facts())) == in_memory


def test_a_pairs_windows_are_in_the_mixtures_time(tmp_path: Path) -> None:
    multitrack = _write(tmp_path / "song", vocals=VOCALS, drums=DRUMS)
    pair = Recording(
        "pair",
        "p",
        "s",
        "p",
        {"mixture": multitrack.parts["vocals"], "accompaniment": multitrack.parts["drums"]},
        offset_s=-3.0,
    )
    rows, _ = _rows(pair, "test")
    assert rows[0]["start_s"] == 3.0
    assert rows[0]["salient"]["accompaniment"][0] == 3.0


def test_a_corpus_counts_what_it_left_out_and_keeps_whole_songs_elsewhere(tmp_path: Path) -> None:
    for name in ("one", "two"):
        _write(tmp_path / "in" / name / "x", vocals=VOCALS, drums=DRUMS)
        (tmp_path / "in" / name / "x").rename(tmp_path / "in" / f"{name} song")
        (tmp_path / "in" / name).rmdir()
    (tmp_path / "list.csv").write_text("song,split\none song,train\ntwo song,test\n")
    argv = ["corpus", "--stems", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    argv += ["--splits", str(tmp_path / "list.csv"), "--sample-rate", "8000", "--channels", "1"]
    assert cli.main([*argv, "--fingerprints", "off", "--flac-bits", "24"]) == 0
    songs = {row["name"]: row for row in tables.read(str(tmp_path / "out"), "songs").to_pylist()}
    assert (songs["one song"]["left_out"], songs["two song"]["left_out"]) == (3, 0)
    index = tables.read(str(tmp_path / "out"), "index").to_pylist(maps_as_pydicts="strict")
    rows = sorted((r for r in index if r["split"] == "test"), key=lambda row: row["start_s"])
    assert rows[0]["salient"]["drums"][0] == 0.0
    pieces = []
    for row in rows:
        data = (tmp_path / "out" / row["shard"]).read_bytes()[row["offset"] :][: row["size"]]
        held = tar.contents(data)
        assert json.loads(held["json"])["salient"] == row["salient"]
        pieces.append(soundfile.read(io.BytesIO(held["vocals.flac"]))[0] * row["scale"])
    given = audio.read(str(tmp_path / "in/two song/vocals.wav")).samples[0]
    assert np.abs(np.concatenate(pieces) - given).max() < 2**-22


def test_parts_of_earlier_versions_are_still_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """What names a part file is what it was before shapes said how silence is told, and before any
    said what becomes of a pair's backing."""
    named: list[str] = []
    monkeypatch.setattr(recordings, "digest", lambda text: named.append(text) or text)
    song = recordings.Recording("multitrack", "r", "s", "name", {})
    for threshold in ("-30", "relative", "-60"):
        shape = Shape(1.0, 1, 1, activity_threshold=threshold, follow_level=False)
        recordings.fingerprint(song, "train", "g", shape)
    first, *later = (json.loads(text)["shape"] for text in named)
    assert set(first) == {
        "chunk_seconds", "sample_rate", "channels", "flac_bits", "window_seconds"
    }  # fmt: skip
    assert [shape["activity_threshold"] for shape in later] == ["relative", "-60"]
