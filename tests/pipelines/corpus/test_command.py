"""Corpora: same input, same bytes; every song comes out once, in samples or as a reject."""

import errno
import io
import json
import random
import re
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import soundfile
import webdataset
from apache_beam.metrics import MetricsFilter
from fsspec.implementations.local import LocalFileOpener

from stemlode import audio, cli, files, retry, runs, schemas, tables
from stemlode.audio import AudioError
from stemlode.ids import digest
from stemlode.runs import Failed
from stemlode.shards import tar

PROJECT = Path(__file__).resolve().parents[3]
RATE = 8000
SMALL = ["--sample-rate", "8000", "--channels", "1", "--chunk-seconds", "0.5"]
SMALL += ["--shard-bytes", "60kB", "--split", "train=0.6,valid=0.2,test=0.2"]
SMALL += ["--window-seconds", "0"]  # noise sounds everywhere

Row = dict[str, Any]


def _track(track_id: str, uri: str | None, **facts: Any) -> Row:
    empty = dict.fromkeys(schemas.TRACK.names)
    known = {"track_id": track_id, "artist_id": "artist", "title": track_id, "duration_s": 1.0}
    return {**empty, **known, "audio_uri": uri, **facts}


def _pair(mix: Row, instrumental: Row, song_id: str, **scores: Any) -> Row:
    return {
        **dict.fromkeys(schemas.SCORED_PAIR.names),
        "pair_id": digest(mix["track_id"], instrumental["track_id"]),
        "song_id": song_id,
        "mix_track_id": mix["track_id"],
        "instrumental_track_id": instrumental["track_id"],
        "artist_id": "artist",
        "fuzzy_title": song_id,
        "duration_difference_s": 0.0,
        "marker": "instrumental",
        "rule": "thesis",
        "mix_audio_uri": mix["audio_uri"],
        "instrumental_audio_uri": instrumental["audio_uri"],
        "mix": mix,
        "instrumental": instrumental,
        "offset_s": 0.0,
        "gain_db": 0.0,
        "polarity": 1,
        "decision": "kept",
        "reason": "",
        **scores,
    }


def _write_pairs(folder: Path, rows: Iterable[Row]) -> Path:
    """A run folder as `prune` leaves it."""
    run = runs.start("prune", str(folder), {}, {})
    assert run is not None
    table = pa.Table.from_pylist(list(rows), schemas.SCORED_PAIR)
    part = tables.write(run, "pairs-00000-of-00001.parquet", table)
    run.finish({}, {part["path"]: part["sha256"]})
    return folder


def _noise(path: Path, seconds: float, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    random_walk = np.random.default_rng(seed).integers(-9, 10, round(seconds * RATE)).cumsum()
    soundfile.write(path, (random_walk % 9000).astype(np.int16), RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pairs of eight songs, and four multitracks, of seeded noise."""
    folder = tmp_path_factory.mktemp("music")
    rows = []
    for number in range(12):
        mix = _noise(folder / f"audio/mix {number}.wav", 1.0 + 0.17 * number, number)
        instrumental = _noise(folder / f"audio/inst {number}.wav", 1.9, 100 + number)
        tracks = _track(f"mix {number}", str(mix)), _track(f"inst {number}", str(instrumental))
        scores = {"offset_s": 0.01 * (number - 6), "gain_db": -1.0 * number}
        rows.append(_pair(*tracks, f"song {number % 8}", **scores))
    _write_pairs(folder / "pairs", rows)
    _write_pairs(folder / "pairs backwards", rows[::-1])
    for number in range(4):
        for seed, stem in enumerate(("vocals", "drums", "bass")):
            _noise(folder / f"stems/song {number}/{stem}.wav", 2.1, 1000 * number + seed)
    return folder


@pytest.fixture(scope="module")
def undisturbed(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of all the music, made in one go."""
    output = tmp_path_factory.mktemp("undisturbed") / "corpus"
    assert _run(output, *_inputs(music)) == 0
    return output


def _inputs(music: Path, pairs: str = "pairs") -> list[str]:
    return ["--pairs", str(music / pairs), "--stems", str(music / "stems"), *SMALL]


def _run(output: Path, *argv: str) -> int:
    return cli.main(["corpus", "--output", str(output), *map(str, argv)])


def _outputs(output: Path) -> dict[str, str]:
    return runs.record(str(output))["outputs"]


def _index(output: Path) -> list[Row]:
    rows = tables.read(str(output), "index").to_pylist(maps_as_pydicts="strict")
    return sorted(rows, key=lambda row: (row["song_id"], row["start_s"]))


def _shards(output: Path) -> dict[str, tuple[int, int]]:
    found = {str(path.relative_to(output)): path.stat() for path in output.rglob("*.tar")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def _samples(output: Path) -> dict[str, dict[str, Any]]:
    """Every sample as the public webdataset library reads it: integers, and the JSON."""
    found = {}
    for path in sorted(output.rglob("*.tar")):
        for sample in webdataset.WebDataset(str(path), shardshuffle=False):
            assert sample["__key__"] not in found
            found[sample["__key__"]] = {
                name.removesuffix(".flac"): (
                    soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)[0].T
                    if name.endswith(".flac")
                    else json.loads(data)
                )
                for name, data in sample.items()
                if not name.startswith("__")
            }
    return found


def test_shards_index_and_counts_agree(undisturbed: Path) -> None:
    index, samples = _index(undisturbed), _samples(undisturbed)
    assert {row["sample_id"] for row in index} == set(samples)
    facts = set(schemas.INDEX.names) - {"shard", "offset", "size", "members", "sha256"}
    by_shard: dict[str, list[Row]] = {}
    for row in index:
        by_shard.setdefault(row["shard"], []).append(row)
        told = samples[row["sample_id"]]["json"]
        assert set(told) == facts
        assert told == {name: row[name] for name in facts}
        assert set(row["sources"]) == set(samples[row["sample_id"]]) - {"json"}
        with (undisturbed / row["shard"]).open("rb") as file:
            file.seek(row["offset"])
            piece = file.read(row["size"])
        with tarfile.open(fileobj=io.BytesIO(piece)) as tar:
            assert tar.getnames() == sorted(f"{row['sample_id']}.{name}" for name in row["sha256"])
    for name, rows in by_shard.items():
        rows.sort(key=lambda row: row["offset"])
        assert [row["sample_id"] for row in rows] == sorted(row["sample_id"] for row in rows)
        assert sum(row["size"] for row in rows) + 1024 == (undisturbed / name).stat().st_size
        assert sum(row["size"] for row in rows[:-1]) < 60_000
    for split in ("train", "valid", "test"):
        names = sorted(name for name in by_shard if name.startswith(split))
        assert names == [f"{split}/{split}-{n:05d}.tar" for n in range(len(names))]
        ids = [row["sample_id"] for name in names for row in by_shard[name]]
        assert ids == sorted(ids)  # the order over shards as well is that of the ids

    counts = runs.record(str(undisturbed))["counts"]
    assert counts["pairs"] == 12 and counts["multitracks"] == 4
    assert counts["recordings"] + counts["rejected"] == 16
    assert counts["songs"] == len({row["song_id"] for row in index}) == 12
    assert counts["samples"] == len(index)
    assert counts["shards"] == len(by_shard)
    per_split = Counter(row["split"] for row in index)
    assert {split: counts[f"samples_{split}"] for split in per_split} == per_split
    hours = sum(row["duration_s"] for row in index) / 3600
    assert counts["hours"] == pytest.approx(hours, abs=1e-6)
    by_kind = counts["hours_pair"] + counts["hours_stems"]
    by_split = counts["hours_train"] + counts["hours_valid"] + counts["hours_test"]
    assert by_kind == pytest.approx(hours, abs=1e-5) == by_split


@pytest.mark.slow
def test_order_and_workers_do_not_change_a_byte(
    music: Path, undisturbed: Path, tmp_path: Path
) -> None:
    two = ["--direct_num_workers", "2", "--direct_running_mode", "multi_threading"]
    assert _run(tmp_path / "a", *_inputs(music, "pairs backwards"), *two) == 0
    assert _outputs(tmp_path / "a") == _outputs(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["2", "7"])
def test_worker_processes_do_not_change_a_byte(
    music: Path, undisturbed: Path, tmp_path: Path, workers: str
) -> None:
    flags = ["--direct_num_workers", workers, "--direct_running_mode", "multi_processing"]
    argv = ["--output", str(tmp_path / "a"), *_inputs(music), *flags]
    subprocess.run(
        [sys.executable, "-m", "stemlode", "corpus", *argv],
        check=True,
        cwd=PROJECT,
        timeout=300,
    )
    assert _outputs(tmp_path / "a") == _outputs(undisturbed)


def test_a_finished_corpus_is_left_alone(
    music: Path, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}
    assert _run(undisturbed, *_inputs(music)) == 0
    assert "already complete" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")} == before


@pytest.mark.slow
def test_songs_that_share_a_track_or_a_title_share_a_split(tmp_path: Path) -> None:
    shared = _track("a shared instrumental", str(_noise(tmp_path / "i.wav", 0.2, 0)))
    rows = []
    for song in range(40):
        for version in range(2):
            name = f"mix {song} {version}"
            mix = _track(name, str(_noise(tmp_path / f"{name}.wav", 0.2, 3 * song + version)))
            inst = shared if song % 4 == 0 else _track(f"inst {song} {version}", mix["audio_uri"])
            rows.append(_pair(mix, inst, f"song {song}"))
    _write_pairs(tmp_path / "pairs", rows)
    assert _run(tmp_path / "out", "--pairs", str(tmp_path / "pairs"), *SMALL) == 0
    index = _index(tmp_path / "out")
    assert len({row["split"] for row in index}) == 3
    for row in index:
        song = int(row["song_id"].split()[1])
        smallest = "a shared instrumental" if song % 4 == 0 else f"inst {song} 0"
        assert row["split_group"] == smallest
        same = {other["split"] for other in index if other["split_group"] == smallest}
        assert same == {row["split"]}


def test_only_kept_pairs_count_and_what_is_known_travels_along(tmp_path: Path) -> None:
    uri = str(_noise(tmp_path / "a.wav", 0.6, 0))
    mix = _track("m", uri, genre="folk", release_year=1975, licence="CC BY 4.0", duration_s=0.6)
    rows = [
        _pair(mix, _track("i", uri, licence=licence), "song", pair_id=str(number))
        for number, licence in enumerate(("CC BY 4.0", None, "CC0"))
    ]
    dropped = [
        _pair(mix, _track("i", uri), "song", decision=decision, pair_id=decision)
        for decision in schemas.DECISIONS
        if decision != "kept"
    ]
    _write_pairs(tmp_path / "pairs", [*rows, *dropped])
    assert _run(tmp_path / "out", "--pairs", str(tmp_path / "pairs"), *SMALL) == 0
    index = _index(tmp_path / "out")
    assert {row["genre"] for row in index} == {"folk"}
    assert {row["release_year"] for row in index} == {1975}
    assert {tuple(row["track_ids"]) for row in index} == {("m", "i")}
    terms = {"CC BY 4.0", "CC BY 4.0 + unknown", "CC BY 4.0 + CC0"}
    assert {row["licence"] for row in index} == terms
    counts = runs.record(str(tmp_path / "out"))["counts"]
    assert (counts["pairs"], counts["pairs_not_kept"]) == (3, len(dropped))


def test_matched_parts_are_taken_unless_they_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = str(_noise(tmp_path / "a.wav", 0.9, 0))
    facts = {"decision": "partly", "repaired": "parts", "coherent": False, "pair_id": "parts"}
    clock = [[0.1, 0.3, 0.1, 0.3], [0.5, 0.9, 0.5, 0.9]]
    one, other = (_track(name, uri, duration_s=0.9) for name in "mi")
    rows = [
        _pair(one, other, "song", pair_id="kept"),
        _pair(one, other, "song", **facts, clock=clock, matched_spans=[[0.1, 0.3], [0.5, 0.9]]),
    ]
    _write_pairs(tmp_path / "pairs", rows)
    pairs = ["--pairs", str(tmp_path / "pairs"), *SMALL]
    with_parts, without = tmp_path / "with", tmp_path / "without"
    assert _run(with_parts, *pairs) == 0
    assert _run(without, *pairs, "--no-use-parts", "--no-follow-level") == 0
    counts = [runs.record(str(output))["counts"] for output in (with_parts, without)]
    assert [(n["pairs"], n.get("pairs_not_kept", 0)) for n in counts] == [(2, 0), (1, 1)]
    known = {row["sample_id"] for row in _index(without)}
    added = [row for row in _index(with_parts) if row["sample_id"] not in known]
    covered = sorted((row["start_s"], row["start_s"] + row["duration_s"]) for row in added)
    assert covered[0][0] == pytest.approx(0.1) and covered[-1][1] == pytest.approx(0.9)
    assert not any(begin < 0.5 and end > 0.3 + 1e-6 for begin, end in covered)
    for name in ("_PLAN.json", "run.json"):  # as before there were the options
        held = json.loads((without / name).read_text())
        for option in ("use_parts", "follow_level", "equalise"):
            assert held["options"].pop(option) is False
        (without / name).write_bytes(runs.to_json(held))
    assert _run(without, *pairs, "--append") == 0
    assert runs.record(str(without))["counts"]["pairs"] == 1
    assert _run(without, *pairs, "--append", "--use-parts") == 2
    assert "made with --use-parts False, as all were before" in capsys.readouterr().err
    assert _run(without, *pairs, "--append", "--equalise") == 2
    assert "made with --equalise False, as all were before" in capsys.readouterr().err


@pytest.mark.parametrize("coherent", [None, True])
def test_a_real_pair_is_aligned_and_put_together_again(
    test_data: Path, tmp_path: Path, coherent: bool | None
) -> None:
    """The accompaniment of a real song, 152 ms late, inverted and 1.4 dB louder, comes back; and
    with it the voice where that is known to be the difference, sample by sample."""
    song = test_data / "audio" / "multitrack" / "so_easy"
    late_s, gain_db = 0.152, -1.4
    mixture = audio.read(str(song / "mixture.mp3"), sample_rate=44_100)
    true = audio.read(str(song / "accompaniment.mp3"), sample_rate=44_100).samples
    lead = np.zeros((2, round(late_s * 44_100)), np.float32)
    shifted = np.concatenate([lead, true / np.float32(-(10 ** (gain_db / 20)))], axis=1)
    soundfile.write(tmp_path / "instrumental.wav", shifted.T, 44_100, subtype="FLOAT")
    row = _pair(
        _track("m", str(song / "mixture.mp3")),
        _track("i", str(tmp_path / "instrumental.wav")),
        "song",
        offset_s=late_s,
        gain_db=gain_db,
        polarity=-1,
        coherent=coherent,
    )
    _write_pairs(tmp_path / "pairs", [row])
    assert _run(tmp_path / "out", "--pairs", str(tmp_path / "pairs")) == 0
    index, samples = _index(tmp_path / "out"), _samples(tmp_path / "out")
    assert [row["start_s"] for row in index] == [0.0, 12.0, 24.0]
    for row in index:
        held = {
            name: x.astype(int) for name, x in samples[row["sample_id"]].items() if name != "json"
        }
        assert ("vocals" in held) == bool(coherent)
        if coherent:
            np.testing.assert_array_equal(held["vocals"], held["mixture"] - held["accompaniment"])
    (song_row,) = tables.read(str(tmp_path / "out"), "songs").to_pylist()
    assert song_row["residual_chunks"] == (3 if coherent else 0)
    whole = {
        source: np.concatenate(
            [samples[r["sample_id"]][source] * (r["scale"] / 32768) for r in index], axis=1
        )
        for source in ("mixture", "accompaniment")
    }
    frames = min(mixture.samples.shape[1], true.shape[1])
    coarsest = max(row["scale"] for row in index) / 32768
    for source, given in (("mixture", mixture.samples), ("accompaniment", true)):
        assert whole[source].shape == (2, frames)
        assert np.abs(whole[source] - given[:, :frames]).max() <= coarsest / 2 + 1e-6


@pytest.mark.slow
def test_real_multitracks_sum_exactly_however_loud(test_data: Path, tmp_path: Path) -> None:
    multitrack = test_data / "audio" / "multitrack"
    names = ("so_easy", "playlist", "song2_rap_92bpm", "trackswitch")
    for name in names:
        shutil.copytree(multitrack / name, tmp_path / "stems" / name)
    assert _run(tmp_path / "out", "--stems", str(tmp_path / "stems")) == 0
    index, samples = _index(tmp_path / "out"), _samples(tmp_path / "out")
    assert {row["kind"] for row in index} == {"stems"}
    for row in index:
        held = {
            name: x.astype(int) for name, x in samples[row["sample_id"]].items() if name != "json"
        }
        parts = set(held) - {"mixture", "accompaniment", "vocals"}
        if "vocals" not in held:  # trackswitch has none
            np.testing.assert_array_equal(held["mixture"], sum(held[name] for name in parts))
            continue
        np.testing.assert_array_equal(held["mixture"], held["vocals"] + held["accompaniment"])
        if parts:
            np.testing.assert_array_equal(held["accompaniment"], sum(held[name] for name in parts))
    assert max(row["scale"] for row in index) == 4  # the plain sum of `playlist` peaks at 2.6
    rejects = tables.read(str(tmp_path / "out"), "rejects").to_pylist()
    assert not rejects
    songs = tables.read(str(tmp_path / "out"), "songs").to_pylist()
    assert {row["name"] for row in songs} == set(names)
    errors = {row["name"]: row["sum_error_db"] for row in songs}
    assert -24 < errors["so_easy"] < -21 and errors["song2_rap_92bpm"] < -80
    assert errors["playlist"] is None


@pytest.mark.slow
def test_audio_that_was_read_is_counted_alike_for_the_runner_and_in_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stem in ("vocals", "accompaniment"):
        _noise(tmp_path / f"songs/one/{stem}.wav", 2.0, len(stem))
    _noise(tmp_path / "instrumental.wav", 3.0, 1)
    sides = [_track(name, str(tmp_path / "instrumental.wav")) for name in "ab"]
    _write_pairs(tmp_path / "pairs", [_pair(*sides, "song")])
    output = tmp_path / "out"
    words = ["corpus", "--stems", str(tmp_path / "songs"), "--pairs", str(tmp_path / "pairs")]
    words += [*SMALL, "--output", str(output)]
    results, really, write = [], beam.Pipeline.run, tar.write_shard

    def kept(self: beam.Pipeline) -> Any:
        results.append(really(self))
        return results[-1]

    def full(*_: Any) -> str:
        raise Failed("no shard today")

    monkeypatch.setattr(beam.Pipeline, "run", kept)
    assert cli.main(words) == 0
    found = results[0].metrics().query(MetricsFilter().with_namespace("corpus"))
    counters = {c.key.metric.name: c.committed for c in found["counters"]}
    record = runs.record(str(output))
    assert counters["audio_seconds"] == record["counts"]["audio_seconds"] == 2 * 2 + 2 * 3
    values = {d.key.metric.name: d.committed for d in found["distributions"]}
    assert values["decode_ms"].count == record["distributions"]["decode_ms"]["count"] == 4

    monkeypatch.setattr(tar, "write_shard", full)
    assert cli.main([*words, "--overwrite"]) == 1
    monkeypatch.setattr(tar, "write_shard", write)
    assert cli.main(words) == 0  # of parts that were read by another attempt
    again = runs.record(str(output))
    assert again["counts"] == record["counts"] and "decode_ms" not in again.get("distributions", {})


def test_what_is_missing_of_a_multitrack_is_its_exact_rest(tmp_path: Path) -> None:
    vocals, drums = (
        soundfile.read(_noise(tmp_path / f"{n}.wav", 2.4, n), dtype="int16")[0] for n in (1, 2)
    )
    mixture = vocals + drums
    layouts = {
        "sung": {"vocals": vocals, "mixture": mixture},
        "played": {"accompaniment": drums, "mixture": mixture},
        "both": {"vocals": vocals, "accompaniment": drums},
        "another mixture": {"vocals": vocals, "drums": drums, "mixture": vocals - drums},
        "no voice": {"drums": drums, "mixture": mixture},
        "cut": {"vocals": vocals, "drums": drums[: RATE // 4], "mixture": mixture - 2 * drums},
        "twice": {"vocals": vocals, "VOCALS": vocals, "drums": drums},
    }
    for song, stems in layouts.items():
        (tmp_path / "stems" / song).mkdir(parents=True)
        for name, signal in stems.items():
            soundfile.write(tmp_path / "stems" / song / f"{name}.wav", signal, RATE)
    (tmp_path / "stems" / "both" / "cover.jpg").write_text("no audio")
    assert _run(tmp_path / "out", "--stems", str(tmp_path / "stems"), *SMALL) == 0
    index, samples = _index(tmp_path / "out"), _samples(tmp_path / "out")
    songs = {digest("stems", song): song for song in layouts}
    assert {songs[row["song_id"]] for row in index} == {"sung", "played", "both"}
    for row in index:
        start = round(row["start_s"] * RATE)
        frames = slice(start, start + round(row["duration_s"] * RATE))
        held = samples[row["sample_id"]]
        for name, signal in (("vocals", vocals), ("accompaniment", drums), ("mixture", mixture)):
            np.testing.assert_array_equal(held[name][0], signal[frames])
    rejects = tables.read(str(tmp_path / "out"), "rejects").to_pylist()
    reasons = {Path(row["key"]).name: row["message"] for row in rejects}
    assert set(reasons) == {"another mixture", "cut", "no voice", "twice"}
    assert "do not sum to the mixture" in reasons["another mixture"]
    assert "; take the mixture away" in reasons["another mixture"]
    assert re.search(r"dB\); drums\.wav ends at \d+\.\d of \d+\.\d s; take", reasons["cut"])
    assert "two files of one source" in reasons["twice"]


def test_one_bad_file_costs_one_reject(test_data: Path, tmp_path: Path) -> None:
    good = _noise(tmp_path / "good.wav", 1.0, 0)
    uris = {path.name: str(path) for path in sorted((test_data / "audio" / "broken").iterdir())}
    uris |= {"gone": str(tmp_path / "gone.wav"), "none": None}
    undecodable = {name for name, uri in uris.items() if uri is None or not _decodes(uri)}
    assert len(undecodable) >= 6
    rows = [
        _pair(_track(f"m {name}", uri), _track(f"i {name}", str(good)), name)
        for name, uri in uris.items()
    ]
    lost = {"far apart": {"offset_s": 60.0}, "nowhere": {"offset_s": float("nan")}}
    for name, scores in lost.items():
        tracks = _track(f"m {name}", str(good)), _track(f"i {name}", str(good))
        rows.append(_pair(*tracks, name, **scores))
    rows.append(rows[-1])
    _write_pairs(tmp_path / "pairs", rows)
    assert _run(tmp_path / "out", "--pairs", str(tmp_path / "pairs"), *SMALL) == 0
    rejects = tables.read(str(tmp_path / "out"), "rejects").to_pylist()
    expected = [*undecodable, *lost, "nowhere"]
    records = [json.loads(row["record"]) for row in rejects]
    assert sorted(record["song_id"] for record in records) == sorted(expected)
    assert all(row["stage"] == "corpus" and row["message"] for row in rejects)
    kept = {row["song_id"] for row in _index(tmp_path / "out")}
    assert kept == {row["song_id"] for row in rows} - set(expected)
    counts = runs.record(str(tmp_path / "out"))["counts"]
    assert counts["pairs"] == len(rows) == counts["recordings"] + counts["rejected"]


def _decodes(uri: str) -> bool:
    try:
        audio.read(uri, sample_rate=RATE)
    except AudioError:
        return False
    return True


@pytest.mark.slow
def test_every_song_may_keep_its_own_rate(tmp_path: Path) -> None:
    for number, rate in enumerate((8000, 22_050)):
        signal = np.random.default_rng(number).integers(-99, 99, rate, dtype=np.int16)
        for name in ("vocals", "bass"):
            path = tmp_path / "stems" / str(rate) / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, signal, rate)
    native = ["--sample-rate", "native", "--chunk-seconds", "0.5", "--window-seconds", "0"]
    assert _run(tmp_path / "out", "--stems", str(tmp_path / "stems"), *native) == 0
    index = _index(tmp_path / "out")
    assert Counter(row["sample_rate"] for row in index) == {8000: 2, 22_050: 2}
    for row in index:
        held = _samples(tmp_path / "out")[row["sample_id"]]["mixture"]
        assert held.shape == (2, row["sample_rate"] // 2)


def test_a_corpus_of_nothing_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    _write_pairs(tmp_path / "pairs", [])
    for _ in range(2):  # and a rerun is none either
        assert _run(out, "--pairs", str(tmp_path / "pairs")) == 1
        said = capsys.readouterr().err
        line = f"error: --output {out}: corpus gave no sample; its inputs hold nothing to cut\n"
        assert said == line
        assert not (out / "_SUCCESS").exists()
        assert (out / "_ERROR.txt").read_text() == line.removeprefix("error: ")


def test_a_corpus_of_nothing_says_what_was_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stems" / "a").mkdir(parents=True)
    (tmp_path / "stems" / "a" / "vocals.wav").write_bytes(b"no audio")
    (tmp_path / "stems" / "a" / "drums.wav").write_bytes(b"none either")
    assert _run(tmp_path / "out", "--stems", str(tmp_path / "stems")) == 1
    assert "corpus gave no sample; rejected because: " in capsys.readouterr().err


def test_an_empty_corpus_of_before_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, pairs = tmp_path / "out", ["--pairs", str(tmp_path / "pairs")]
    _write_pairs(tmp_path / "pairs", [])
    assert _run(out, *pairs) == 1
    (out / "_SUCCESS").touch()  # as they were left
    (out / "_ERROR.txt").unlink()
    capsys.readouterr()
    assert _run(out, *pairs) == 1
    assert cli.main(["verify", str(out)]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "corpus gave no sample" in first and "holds no sample" in second


def test_bad_usage_is_one_line_and_writes_nothing(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = ["--pairs", str(music / "pairs")]
    cases = {
        "needs --pairs, --stems": [],
        "--pairs": ["--pairs", str(tmp_path / "nothing")],
        "not a run folder": ["--pairs", str(music / "audio")],
        "no song folders": ["--stems", str(music / "audio")],
        "--split": [*pairs, "--split", "train=0.5"],
        "--shard-bytes": [*pairs, "--shard-bytes", "many"],
        "--sample-rate": [*pairs, "--sample-rate", "cd"],
        "--chunk-seconds": [*pairs, "--chunk-seconds", "0"],
        "from 0.1 s to 3600 s": [*pairs, "--chunk-seconds", "1e9"],
        "--channels": [*pairs, "--channels", "0"],
        "did you mean --chunk-seconds": [*pairs, "--chunk-second", "3"],
    }
    for expected, argv in cases.items():
        assert _run(tmp_path / "out", *argv) == 2, expected
        told = capsys.readouterr().err
        assert expected in told and told.count("\n") == 1
        assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("room", [150_000, 900_000])
def test_a_disk_that_fills_up_is_one_line_and_the_rest_is_kept(
    music: Path,
    undisturbed: Path,
    tmp_path: Path,
    room: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, left = tmp_path / "out", [room]
    write = LocalFileOpener.write

    def bounded(self: LocalFileOpener, data: bytes) -> int:
        left[0] -= len(data) if str(output) in self.path else 0
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(LocalFileOpener, "write", bounded)
        assert _run(output, *_inputs(music)) == 1
    told = capsys.readouterr().err
    assert "No space left on device" in told and str(output) in told and told.count("\n") == 1
    assert not list(output.rglob(f"*{files.TEMPORARY}")) and not (output / "_SUCCESS").exists()
    kept = _shards(output)
    for name in kept:
        assert (output / name).read_bytes() == (undisturbed / name).read_bytes()
    assert _run(output, *_inputs(music)) == 0
    assert _outputs(output) == _outputs(undisturbed)
    assert kept.items() <= _shards(output).items()  # not one was written again


def test_reading_that_breaks_off_is_tried_again(
    music: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "WAITS_S", (0.0, 0.0))
    blocks, calls = audio.blocks, [0]

    def flaky(*args: Any, **facts: Any) -> Any:
        calls[0] += 1
        for block in blocks(*args, **facts):
            yield block
            if calls[0] in (3, 10, 11):
                raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(audio, "blocks", flaky)
    assert _run(tmp_path / "out", *_inputs(music)) == 0
    assert _outputs(tmp_path / "out") == _outputs(undisturbed)


@pytest.mark.slow
def test_reading_that_stays_broken_ends_the_run_and_no_song_is_given_up(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(retry, "WAITS_S", (0.0,))

    def broken(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(audio, "blocks", broken)
        assert _run(tmp_path / "out", *_inputs(music)) == 1
    assert "of them at the local disk (" in (said := capsys.readouterr().err)
    assert "Input/output error); run again when it answers" in said
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert _run(tmp_path / "out", *_inputs(music)) == 0
    assert runs.record(str(tmp_path / "out"))["counts"]["rejected"] == 0


# Forks once per attempt, so that the libraries are imported once. An attempt is killed just before
# its n-th change to the disk below the output, or (worker processes) after some time, with all its
# processes. Prints which shards were finished by then.
ATTEMPTS = """
import os, pathlib, random, signal, sys, time
import pipelines.corpus.command
from stemlode import cli
output, seed, kills, how = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
draw = random.Random(seed)
changes = [0]
def watch(event, args, dies_at):
    written = event in ("os.rename", "os.remove", "os.rmdir")
    written = written or event == "open" and isinstance(args[1], str) and args[1][0] in "wax"
    if written and str(args[0]).startswith(output):
        changes[0] += 1
        if changes[0] == dies_at:
            os.killpg(0, signal.SIGKILL)
def attempt(folder, dies_at=None, patience=300):
    started = time.monotonic()
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        sys.addaudithook(lambda event, args: watch(event, args, dies_at))
        sys.stdout = open(os.devnull, "w")
        cli.main(["corpus", "--output", folder, *sys.argv[5:]])
        pathlib.Path(folder + ".changes").write_text(str(changes[0]))
        os._exit(0)
    ended, status = os.waitpid(child, os.WNOHANG)
    while not ended:
        if time.monotonic() - started > patience:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.002)
        ended, status = os.waitpid(child, os.WNOHANG)
    return time.monotonic() - started, os.WIFSIGNALED(status)
usual, _ = attempt(output + "/measured")
total = int(pathlib.Path(output + "/measured.changes").read_text())
killed = corpora = 0
while killed < kills:
    folder = f"{output}/{corpora}"
    if how == "time":
        _, died = attempt(folder, patience=draw.uniform(0.1, 1.0) * usual)
    else:
        _, died = attempt(folder, dies_at=draw.randint(1, total // 4))
    killed, corpora = killed + died, corpora + (not died)
    for path in sorted(pathlib.Path(folder).rglob("*.tar")):
        print("shard", path.stat().st_ino, path.stat().st_mtime_ns, path.relative_to(output))
attempt(f"{output}/{corpora}")
"""


def _kill_and_rerun(
    music: Path, undisturbed: Path, output: Path, kills: int, how: str, *flags: str
) -> None:
    """So many kills, over as many corpora as it takes; each is then as if nothing had happened."""
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")  # pytest shows it where the test fails
    output.mkdir()
    argv = [str(output), str(seed), str(kills), how, *_inputs(music), *flags]
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS, *argv],
        check=True,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    print(done.stdout, done.stderr)
    for line in done.stdout.splitlines():
        _, inode, time_ns, name = line.split()
        stat = (output / name).stat()
        assert (stat.st_ino, stat.st_mtime_ns) == (int(inode), int(time_ns)), f"{name} rewritten"
    for corpus_folder in (path for path in output.glob("[0-9]*") if path.is_dir()):
        _assert_whole(corpus_folder, undisturbed)


def _assert_whole(output: Path, undisturbed: Path) -> None:
    assert _outputs(output) == _outputs(undisturbed)
    for name, sha256 in _outputs(output).items():
        assert files.sha256(str(output / name)) == sha256
    kept = {"_PLAN.json", "_SUCCESS", "run.json", *_outputs(output)}
    found = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert found == kept


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "how", "workers"), [(25, "change", 1), (6, "time", 2)])
def test_many_kills_lose_and_double_nothing(
    music: Path, undisturbed: Path, tmp_path: Path, kills: int, how: str, workers: int
) -> None:
    flags = ["--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]
    flags = flags if workers > 1 else []
    _kill_and_rerun(music, undisturbed, tmp_path / "out", kills, how, *flags)


def test_verbs_of_one_process_may_share_an_option_name(music: Path, tmp_path: Path) -> None:
    """Beam parses all options classes that it sees, and prune's --sample-rate is a number."""
    import pipelines.prune.command  # noqa: F401

    native = [word if word != "8000" else "native" for word in _inputs(music)]
    assert _run(tmp_path / "out", *native) == 0
