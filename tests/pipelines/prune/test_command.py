"""Prune on real audio: every pair gets one decision, one bad file costs one reject."""

import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import librosa
import numpy as np
import pytest
from apache_beam.metrics import MetricsFilter

from matching.sound.decisions import Thresholds, decide
from matching.sound.scores import Scores
from pipelines.prune import command as prune_command
from pipelines.prune import scoring
from pipelines.prune.options import settings_of, settle
from stemlode import audio, files, retry, runs, schemas, tables
from stemlode.audio import decoding
from stemlode.audio.decoding import Decoded, Decoder
from tests.pipelines.prune import folders
from tests.pipelines.prune.folders import pair
from tests.stemlode.audio import hostile_decoder

BROKEN = {  # broken file → what its reject says
    "empty.wav": "empty file",
    "text_named.mp3": "not audio",
    "zeros.ogg": "not audio",
    "zero_channels.wav": "zero channels",
    "truncated.flac": "16.7 of 45.0 s decodable",
    "flac_named.wav": "6.3 of 45.0 s decodable",
    "bit_rot.mp3": "only the first 6.0 s decode",
    "header_claims_4GiB.wav": "nothing but silence",  # it decodes: to 1,000 zeros
}


@pytest.fixture(scope="session")
def songs(
    test_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, Path]]:
    """Mixture and accompaniment of every multitrack that has vocals, summed where need be."""
    folder = tmp_path_factory.mktemp("songs")
    found = {}
    for song in sorted((test_data / "audio/multitrack").iterdir()):
        given = {path.stem: path for path in song.iterdir()}
        if "accompaniment" in given:
            found[song.name] = (given["mixture"], given["accompaniment"])
        elif song.name == "falcon":
            (path,) = song.iterdir()
            stems = [audio.read(str(path), stream=stream) for stream in range(5)]
            rest = sum(stem.samples for stem in stems[1:4])
            found[song.name] = (path, _write(folder / "falcon.wav", rest, stems[0].sample_rate))
        elif "vocals" in given:
            stems = {name: audio.read(str(path)) for name, path in sorted(given.items())}
            rate = stems["vocals"].sample_rate
            rest = sum(s.samples for n, s in stems.items() if n not in ("mixture", "vocals"))
            full = rest + stems["vocals"].samples
            mixture = given.get("mixture") or _write(folder / f"{song.name}-mix.wav", full, rate)
            found[song.name] = (mixture, _write(folder / f"{song.name}.wav", rest, rate))
    return found


def _write(path: Path, samples: Any, rate: int) -> Path:
    audio.write(str(path), samples, rate, subtype="FLOAT")  # sums exceed full scale
    return path


def _prune(tmp_path: Path, rows: Iterable[dict[str, Any]], *flags: str) -> list[dict[str, Any]]:
    if not (tmp_path / "candidates").exists():
        folders.write(tmp_path / "candidates", rows)
    words = ["--candidates", str(tmp_path / "candidates"), "--output", str(tmp_path / "pairs")]
    assert prune_command.main([*words, *flags]) == 0
    table = tables.read(str(tmp_path / "pairs"), "pairs")
    assert table.schema.equals(schemas.SCORED_PAIR)
    return table.to_pylist()


def _rejects(tmp_path: Path) -> list[dict[str, str]]:
    return tables.read(str(tmp_path / "pairs"), "rejects").to_pylist()


def _decisions(rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    return {row["fuzzy_title"]: row["decision"] for row in rows}


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != runs.RECORD  # it holds seconds
    }


def _tables(folder: Path) -> dict[str, str]:
    return {name: value for name, value in _hashes(folder).items() if name.endswith(".parquet")}


def test_every_mixture_with_its_accompaniment_is_kept(
    tmp_path: Path, songs: dict[str, tuple[Path, Path]]
) -> None:
    assert len(songs) == 6
    rows = _prune(tmp_path, [pair(name, *paths) for name, paths in songs.items()])
    assert _decisions(rows) == dict.fromkeys(songs, "kept")
    for row in rows:
        assert 0.15 <= row["difference"] < 0.7
        assert row["asymmetry"] > 0.3
        assert row["offset_s"] == pytest.approx(0, abs=0.001)
        assert row["gain_db"] == pytest.approx(0, abs=0.3), row["fuzzy_title"]
        assert row["polarity"] == 1
        assert row["alignment_confidence"] > 0.5
        assert row["difference_sum"] > 0
        assert row["drift_ppm"] is None or abs(row["drift_ppm"]) < 5
        assert row["reason"].startswith("difference 0.")
    assert _rejects(tmp_path) == []


@pytest.mark.slow
def test_the_same_recording_at_another_level_is_too_similar(
    tmp_path: Path, test_data: Path
) -> None:
    mixture = test_data / "audio/multitrack/so_easy/mixture.mp3"
    loud = audio.read(str(mixture))
    rows = [pair("+0.0 dB", mixture, shutil.copy(mixture, tmp_path / "same.mp3"))]
    for gain_db, suffix in ((-6.0, ".flac"), (-6.0, ".mp3"), (-6.0, ".ogg"), (3.0, ".ogg")):
        path = tmp_path / f"{gain_db:+.1f} dB{suffix}"
        audio.write(str(path), loud.samples * 10 ** (gain_db / 20), loud.sample_rate)
        rows.append(pair(path.name, mixture, path))
    scored = _prune(tmp_path, rows)
    assert len(scored) == 5
    for row in scored:
        assert row["decision"] == "too_similar"
        assert row["gain_db"] == pytest.approx(-float(row["fuzzy_title"].split()[0]), abs=0.2)
        assert "is below 0.15" in row["reason"]


@pytest.mark.slow
def test_unrelated_songs_are_too_different(tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "audio"
    mix, instrumental = folder / "mixes/Jonathan Coulton - Flickr.mp3", folder / "instrumental"
    short = [folder / f"multitrack/{name}/mixture.mp3" for name in ("so_easy", "mallory")]
    pairs = [(mix, instrumental / "Awakening.ogg"), tuple(short), (short[0], mix)]
    rows = _prune(tmp_path, [pair(f"{a.name} {b.name}", a, b) for a, b in pairs])
    assert [row["decision"] for row in rows] == ["too_different"] * 3
    assert all(row["alignment_confidence"] < 0.3 for row in rows)


@pytest.mark.slow
def test_a_shifted_inverted_louder_instrumental_is_kept_and_placed(
    tmp_path: Path, test_data: Path
) -> None:
    folder = test_data / "audio/multitrack/so_easy"
    accompaniment = audio.read(str(folder / "accompaniment.mp3"))
    rate, late = accompaniment.sample_rate, np.zeros((2, 6706), np.float32)
    shifted = np.concatenate([late, -0.5 * accompaniment.samples], axis=1)
    path = _write(tmp_path / "shifted.wav", shifted, rate)
    (row,) = _prune(tmp_path, [pair("shifted", folder / "mixture.mp3", path)])
    assert row["decision"] == "kept"
    assert row["offset_s"] == pytest.approx(6706 / rate, abs=0.001)
    assert row["polarity"] == -1
    assert row["gain_db"] == pytest.approx(6.02, abs=0.1)


def test_each_undecodable_file_is_one_reject_and_the_rest_is_untouched(
    tmp_path: Path, test_data: Path
) -> None:
    folder = test_data / "audio"
    good = folder / "multitrack/mallory"
    healthy = [pair("good", good / "mixture.mp3", good / "accompaniment.mp3")]
    broken = [folder / "broken" / name for name in BROKEN]
    rows = [
        *healthy,
        *(pair(f"a {path.name}", path, good / "accompaniment.mp3") for path in broken),
        *(pair(f"b {path.name}", good / "mixture.mp3", path) for path in broken),
        *(pair(path.name, path, shutil.copy(path, tmp_path)) for path in broken[:1]),
    ]
    scored = _prune(tmp_path, rows)
    assert len(scored) == len(rows)
    assert Counter(row["decision"] for row in scored) == {"kept": 1, "unreadable": 17}
    rejects = {row["key"]: row for row in _rejects(tmp_path)}
    assert len(rejects) == len(_rejects(tmp_path)) == len(BROKEN) + 1
    for path in broken:
        reject = rejects[f"track {path}"]
        assert reject["stage"] == "prune"
        assert BROKEN[path.name] in reject["message"]
        assert json.loads(reject["record"])["audio_uri"] == str(path)
    for row in scored:
        if row["decision"] == "unreadable":
            assert row["difference"] is None and row["offset_s"] is None
            assert "mixture: " in row["reason"] or "instrumental: " in row["reason"]

    alone = tmp_path / "alone"
    alone.mkdir()
    (kept,) = [row for row in scored if row["decision"] == "kept"]
    assert _prune(alone, healthy) == [kept]
    counts = runs.record(str(tmp_path / "pairs"))["counts"]
    assert counts["candidates"] == sum(counts.get(name, 0) for name in schemas.DECISIONS) == 18
    assert counts["rejected"] == 9
    assert counts["hours_kept"] == pytest.approx(30 / 3600, rel=0.01)
    assert counts["hours_dropped"] == 0


def test_any_runner_shows_counters_that_add_up_to_those_of_the_record(
    tmp_path: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = test_data / "audio/multitrack/mallory"
    mixture, accompaniment = folder / "mixture.mp3", folder / "accompaniment.mp3"
    rows = [
        pair("good", mixture, accompaniment),
        pair("same", mixture, shutil.copy(mixture, tmp_path)),
        pair("bad", mixture, test_data / "audio/broken/empty.wav"),
    ]
    results = []
    really = beam.Pipeline.run

    def kept(self: beam.Pipeline) -> Any:
        results.append(really(self))
        return results[-1]

    monkeypatch.setattr(beam.Pipeline, "run", kept)
    _prune(tmp_path, rows, "--pairs-per-part", "1")
    found = results[0].metrics().query(MetricsFilter().with_namespace("prune"))
    counters = {c.key.metric.name: c.committed for c in found["counters"]}
    record = runs.record(str(tmp_path / "pairs"))
    counts = record["counts"]
    assert {name: counts[name] for name in counters} == counters
    assert counters["kept"] == counters["too_similar"] == counters["unreadable"] == 1
    assert counters["audio_seconds"] == 150  # three parts, of two, two and one mp3 of 30 s
    assert counters["score_ms"] > 0 and counters["rejects/empty"] == 1
    values = {d.key.metric.name: d.committed for d in found["distributions"]}
    assert values["decode_ms"].count == record["distributions"]["decode_ms"]["count"] == 5


@pytest.mark.slow
def test_a_track_without_audio_is_unreadable(tmp_path: Path, test_data: Path) -> None:
    good = folders.track("good", str(test_data / "audio/voice/vocadito_1.wav"))
    bare = folders.track("bare", None)
    gone = folders.track("gone", str(tmp_path / "gone.flac"))
    rows = [folders.candidate(f"{n}", good, other) for n, other in enumerate([bare, gone])]
    rows += [folders.candidate("elsewhere", bare, gone)]  # another song, another part
    scored = _prune(tmp_path, rows, "--pairs-per-part", "1")
    reasons = {row["fuzzy_title"]: row["reason"] for row in scored}
    assert reasons == {
        "0": "instrumental: no audio_uri",
        "1": "instrumental: no such file",
        "elsewhere": "mixture: no audio_uri; instrumental: no such file",
    }
    rejects = {row["key"]: (row["error"], row["message"]) for row in _rejects(tmp_path)}
    assert rejects == {
        "track bare": ("no_audio_uri", "no audio_uri"),
        "track gone": ("missing", "no such file"),
    }
    assert len(_rejects(tmp_path)) == 2


def test_a_track_is_decoded_once_however_many_pairs_use_it(
    tmp_path: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = test_data / "audio/multitrack"
    tracks = [folder / "mallory/mixture.mp3", folder / "so_easy/mixture.mp3"]
    others = [folder / "mallory/accompaniment.mp3", folder / "mallory/vocals.mp3",
              folder / "so_easy/vocals.mp3"]  # fmt: skip
    reads: Counter[str] = Counter()
    really = Decoder.decode

    def counted(self: Decoder, uri: str) -> Decoded:
        reads[uri] += 1
        return really(self, uri)

    monkeypatch.setattr(Decoder, "decode", counted)
    rows = _prune(tmp_path, [pair("song", a, b) for a, b in itertools.product(tracks, others)])
    assert len(rows) == 6
    assert reads == {str(path): 1 for path in [*tracks, *others]}


@pytest.mark.slow
def test_a_hanging_and_a_crashing_decoder_cost_one_reject_each(
    tmp_path: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = test_data / "audio/multitrack/mallory"
    mixture, accompaniment = folder / "mixture.mp3", folder / "accompaniment.mp3"
    bad = [tmp_path / name for name in ("hangs.mp3", "segfaults.mp3")]
    rows = [pair("good", mixture, accompaniment)]
    for path in bad:
        shutil.copy(accompaniment, path)
        rows += [pair(path.stem, mixture, path), pair(path.stem, path, accompaniment)]
    monkeypatch.setattr(decoding, "COMMAND", hostile_decoder.COMMAND)
    monkeypatch.setattr(decoding, "limit_s", lambda seconds: 2.0)
    scored = _prune(tmp_path, rows)
    assert Counter(row["decision"] for row in scored) == {"kept": 1, "unreadable": 4}
    rejects = {row["key"]: row["error"] for row in _rejects(tmp_path)}
    assert rejects == {f"track {bad[0]}": "timeout", f"track {bad[1]}": "crashed"}
    reasons = " ".join(row["reason"] for row in scored)
    assert "not decoded within 2 s" in reasons and "SIGSEGV" in reasons


@pytest.mark.slow
def test_hostile_names_and_ids_stay_what_they_are(tmp_path: Path, test_data: Path) -> None:
    """Nothing of a candidate becomes a path, and any name can be read."""
    folder = test_data / "audio/multitrack/mallory"
    rows = []
    for number, name in enumerate(["../../x", "<script>", "new\nline", "a\x00b", "'; DROP", "~"]):
        tracks = []
        for source in ("mixture", "accompaniment"):
            path = tmp_path / f"{name.replace('/', '_').replace(chr(0), '_')} {source}.mp3"
            shutil.copy(folder / f"{source}.mp3", path)
            one = folders.track(f"{name} {source}", str(path))
            tracks.append(one | {"track_id": f"{name}/{source}"})
        row = folders.candidate(f"song {number % 2}", *tracks)
        rows.append(row | {"pair_id": name, "song_id": f"../{number % 2}\n"})
    before = {path.name for path in tmp_path.iterdir()}
    scored = _prune(tmp_path, rows)
    assert {row["pair_id"]: row["decision"] for row in scored} == {
        row["pair_id"]: "kept" for row in rows
    }
    assert {path.name for path in tmp_path.iterdir()} == before | {"candidates", "pairs"}


@pytest.mark.slow
def test_a_pair_that_comes_again_is_a_reject(tmp_path: Path, test_data: Path) -> None:
    song = test_data / "audio/multitrack/so_easy"
    once = pair("so_easy", song / "mixture.mp3", song / "accompaniment.mp3")
    (row,) = _prune(tmp_path, [once, once | {"rule": "zz"}, once])
    assert (row["decision"], row["rule"]) == ("kept", once["rule"])
    (found,) = _rejects(tmp_path)
    assert (found["key"], found["error"]) == (once["pair_id"], "duplicate")


@pytest.mark.slow
def test_a_full_temporary_folder_ends_the_run_with_a_line(
    tmp_path: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = test_data / "audio/multitrack/mallory"
    rows = [pair("mallory", folder / "mixture.mp3", folder / "accompaniment.mp3")]
    script = (
        "import resource, sys; from stemlode.audio import decoding_process as d\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999)); d.serve(int(sys.argv[1]))"
    )
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "COMMAND", (sys.executable, "-c", script))
        with pytest.raises(runs.Failed, match=r"^temporary folder .*: File too large; free some"):
            _prune(tmp_path, rows)
    assert not (tmp_path / "pairs" / runs.SUCCESS).exists()
    assert _decisions(_prune(tmp_path, rows)) == {"mallory": "kept"}


def test_no_candidates_are_an_empty_table(tmp_path: Path) -> None:
    assert _prune(tmp_path, []) == []
    assert runs.record(str(tmp_path / "pairs"))["counts"]["candidates"] == 0


@pytest.mark.slow
def test_thresholds_and_grids_are_options(tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "audio/multitrack/mallory"
    rows = [pair("mallory", folder / "mixture.mp3", folder / "accompaniment.mp3")]  # 0.337
    for number, (flags, decision) in enumerate(
        [
            (("--d-max", "0.3"), "too_different"),
            (("--sample-rate", "16000", "--n-fft", "2048", "--hop-length", "512"), "kept"),
        ]
    ):
        at = tmp_path / str(number)
        at.mkdir()
        assert _decisions(_prune(at, rows, *flags)) == {"mallory": decision}
        name, value = flags[0].removeprefix("--").replace("-", "_"), float(flags[1])
        assert runs.record(str(at / "pairs"))["options"][name] == value


@pytest.mark.slow
def test_without_alignment_it_is_the_thesis(tmp_path: Path, test_data: Path) -> None:
    """Eq. 3.8 on what is left of both without the silence around it; level and shift count."""
    folder = test_data / "audio/multitrack/so_easy"
    mixture, plain = folder / "mixture.mp3", folder / "accompaniment.mp3"
    backing = audio.read(str(plain))
    late = np.concatenate([np.zeros((2, 48_000), np.float32), 0.5 * backing.samples], axis=1)
    shifted = _write(tmp_path / "late.wav", late, backing.sample_rate)
    rows = [pair("plain", mixture, plain), pair("late and soft", mixture, shifted)]
    found = {row["fuzzy_title"]: row for row in _prune(tmp_path, rows, "--no-align")}
    for title, path in (("plain", plain), ("late and soft", shifted)):
        X, Y = _spectrum(mixture), _spectrum(path)
        frames = min(X.shape[1], Y.shape[1])
        d, row = np.abs(X[:, :frames] - Y[:, :frames]).sum(), found[title]
        assert row["difference_sum"] == pytest.approx(d, rel=1e-4)
        assert row["difference"] == pytest.approx(d / X[:, :frames].sum(), rel=1e-4)
        assert row["alignment_confidence"] is None and row["matched_share"] is None
    assert found["plain"]["decision"] == "kept"
    assert found["late and soft"]["decision"] == "too_different"


def _spectrum(path: Path) -> np.ndarray:
    samples = audio.read(str(path), sample_rate=8192, mono=True).samples[0]
    trimmed = librosa.effects.trim(samples, top_db=60)[0]
    return np.abs(librosa.stft(trimmed, n_fft=1024, hop_length=768))


@pytest.mark.parametrize(
    ("value", "decision"),
    [
        (0.0, "too_similar"), (0.1999, "too_similar"), (0.2, "kept"), (0.6999, "kept"),
        (0.7, "too_different"), (1.3, "too_different"),
    ],
)  # fmt: skip
def test_the_window_of_the_thesis(value: float, decision: str) -> None:
    measured = Scores(1.0, value, 0.9, 0.0, 0.0, 1, 1.0)
    found, reason = decide(measured, Thresholds(0.2, 0.7))
    assert found == decision
    assert f"{value:.3f}" in reason


@pytest.mark.parametrize(
    "flags",
    [
        ("--d-min", "0.8"), ("--d-max", "nan"), ("--trim-db", "0"), ("--sample-rate", "8"),
        ("--n-fft", "0"), ("--hop-length", "2000"), ("--max-offset", "-1"),
        ("--pairs-per-part", "0"), ("--d-sparse", "-1"),
    ],
)  # fmt: skip
def test_senseless_options_are_bad_usage(tmp_path: Path, flags: tuple[str, str]) -> None:
    folders.write(tmp_path / "c", [])
    words = ["--candidates", str(tmp_path / "c"), "--output", str(tmp_path / "o"), *flags]
    with pytest.raises(runs.BadUsage, match=flags[0]):
        prune_command.main(words)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("flags", "least"),
    [
        ((), 0.03),
        (("--d-min", "0.15"), 0.15),
        (("--d-min", "0.2", "--d-sparse", "0.1"), 0.1),
        (("--d-max", "0.5"), 0.03),
    ],
)
def test_a_window_that_is_given_holds_for_soft_voices_too(
    tmp_path: Path, flags: tuple[str, ...], least: float
) -> None:
    given = {"candidates": str(tmp_path)}
    words = ["--candidates", str(tmp_path), "--output", str(tmp_path / "o"), *flags]
    options = prune_command.VERB.parse(words)
    settle(options, words, given)
    assert settings_of(options)[1].d_sparse == least


def test_what_is_no_folder_of_candidates_is_bad_usage(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(runs.BadUsage, match=str(folder)):
            prune_command.main(["--candidates", str(folder), "--output", str(tmp_path / "o")])
        assert not (tmp_path / "o").exists()


def _many(test_data: Path) -> list[dict[str, Any]]:
    """Nine pairs in five songs."""
    paths = sorted((test_data / "audio/multitrack").glob("[ms]*/[amv]*.mp3"))
    return [
        pair(f"song {n % 5}", a, b) for n, (a, b) in enumerate(itertools.permutations(paths, 2))
    ][:9]


@pytest.mark.slow
def test_order_parts_and_reruns_change_no_byte(tmp_path: Path, test_data: Path) -> None:
    rows = _many(test_data)
    outcomes = []
    for name, given, parts in (("a", rows, "2"), ("b", rows[::-1], "100")):
        (tmp_path / name).mkdir()
        _prune(tmp_path / name, given, "--pairs-per-part", parts)
        outcomes.append(_tables(tmp_path / name / "pairs"))
        assert not (tmp_path / name / "pairs" / runs.PARTS).exists()
    assert outcomes[0] == outcomes[1]
    before = _hashes(tmp_path / "a/pairs")
    _prune(tmp_path / "a", rows, "--pairs-per-part", "3")  # which does not change the output
    assert _hashes(tmp_path / "a/pairs") == before


@pytest.mark.slow
def test_finished_parts_are_not_scored_again(
    tmp_path: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = _many(test_data)
    folders.write(tmp_path / "candidates", rows)
    words = ["--candidates", str(tmp_path / "candidates"), "--output", str(tmp_path / "pairs")]
    heard = []
    really = scoring.Listener.hear

    def dying(self: scoring.Listener, candidates: Iterable[dict[str, Any]]) -> scoring.Heard:
        if len(heard) == 3:
            raise RuntimeError("the machine burns")
        heard.append(1)
        return really(self, candidates)

    with monkeypatch.context() as patch:
        patch.setattr(scoring.Listener, "hear", dying)
        with pytest.raises(runs.Failed, match="the machine burns"):
            prune_command.main([*words, "--pairs-per-part", "1"])
    assert not (tmp_path / "pairs" / runs.SUCCESS).exists()
    heard.clear()

    def counted(self: scoring.Listener, candidates: Iterable[dict[str, Any]]) -> scoring.Heard:
        heard.append(1)
        return really(self, candidates)

    monkeypatch.setattr(scoring.Listener, "hear", counted)
    assert prune_command.main([*words, "--pairs-per-part", "1"]) == 0
    assert len(heard) == 6  # of nine groups of a pair, three were done
    (tmp_path / "whole").mkdir()
    _prune(tmp_path / "whole", rows)
    assert _tables(tmp_path / "pairs") == _tables(tmp_path / "whole/pairs")


@pytest.mark.slow
def test_a_passing_fault_is_tried_again_and_a_lasting_one_is_a_reject(
    tmp_path: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = test_data / "audio/multitrack/mallory"
    rows = [pair("mallory", folder / "mixture.mp3", folder / "accompaniment.mp3")]
    really, calls = Decoder.decode, itertools.count()
    monkeypatch.setattr(retry.time, "sleep", lambda seconds: None)

    def shaky(self: Decoder, uri: str) -> Decoded:
        if next(calls) < 2:
            raise ConnectionResetError("connection reset")
        return really(self, uri)

    def down(self: Decoder, uri: str) -> Decoded:
        raise ConnectionResetError("connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "decode", down)
        with pytest.raises(runs.Failed, match="2 of 2 files cannot be reached"):
            _prune(tmp_path, rows)
        missed = _prune(tmp_path, rows, "--max-unreachable", "1")
        assert _decisions(missed) == {"mallory": "unreadable"}
        assert {row["error"] for row in _rejects(tmp_path)} == {"unreachable"}
        patch.setattr(Decoder, "decode", shaky)
        again = _prune(tmp_path, rows, "--retry-rejects")
        assert _decisions(again) == {"mallory": "kept"}
    assert _rejects(tmp_path) == []


@pytest.mark.slow
def test_the_command_line(tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "audio/multitrack/mallory"
    folders.write(
        tmp_path / "c",
        [
            pair("good", folder / "mixture.mp3", folder / "accompaniment.mp3"),
            pair("bad", folder / "mixture.mp3", test_data / "audio/broken/text_named.mp3"),
        ],
    )
    words = ["--candidates", str(tmp_path / "c"), "--output", str(tmp_path / "o")]
    done = subprocess.run(
        [sys.executable, "-m", "stemlode", "prune", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "kept" in done.stdout and "rejected" in done.stdout
    assert runs.record(str(tmp_path / "o"))["counts"]["kept"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("parts_before", [0, 1, 3])
def test_killed_and_run_again_gives_the_same_bytes(
    tmp_path: Path, test_data: Path, parts_before: int
) -> None:
    rows = _many(test_data)
    (tmp_path / "whole").mkdir()
    _prune(tmp_path / "whole", rows)
    folders.write(tmp_path / "candidates", rows)
    output = tmp_path / "pairs"
    command = [sys.executable, "-m", "stemlode", "prune", "--candidates",
               str(tmp_path / "candidates"), "--output", str(output),
               "--pairs-per-part", "1"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    parts: list[Path] = []
    for _ in range(6000):
        parts = sorted((output / runs.PARTS).glob("*.json"))
        if process.poll() is not None or (
            (output / runs.PLAN).exists() and len(parts) >= parts_before
        ):
            break
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / runs.SUCCESS).exists()
    assert len(parts) >= parts_before
    subprocess.run(command, check=True, capture_output=True)
    assert _tables(output) == _tables(tmp_path / "whole/pairs")
    found = _hashes(output)
    assert not [name for name in found if name.endswith(files.TEMPORARY) or runs.PARTS in name]


@pytest.mark.slow
def test_two_processes_change_no_byte(tmp_path: Path, test_data: Path) -> None:
    rows = _many(test_data)
    hashes = []
    for name, flags in (
        ("one", ()),
        ("two", ("--direct_num_workers=2", "--direct_running_mode=multi_processing")),
    ):
        (tmp_path / name).mkdir()
        folders.write(tmp_path / name / "candidates", rows)
        command = [sys.executable, "-m", "stemlode", "prune", "--candidates",
                   str(tmp_path / name / "candidates"), "--output", str(tmp_path / name / "pairs"),
                   *flags]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        hashes.append(_tables(tmp_path / name / "pairs"))
    assert hashes[0] == hashes[1]


def _known(pair: dict[str, Any], seconds: float, source: str | None) -> dict[str, Any]:
    """A candidate whose mixture is so long by the catalogue."""
    facts = {"duration_s": seconds, "duration_source": source}
    return pair | {"mix": pair["mix"] | facts}


@pytest.mark.parametrize("source", ["counted", "stated", "guessed", "given", None])
def test_a_file_that_lost_its_end_is_a_reject_only_where_its_length_was_known(
    tmp_path: Path, test_data: Path, source: str | None
) -> None:
    """A bare MP3 that is cut cannot say so: the catalogue does."""
    folder = test_data / "audio/multitrack/mallory"
    cut = tmp_path / "cut.mp3"
    whole = (folder / "mixture.mp3").read_bytes()
    cut.write_bytes(whole[len(whole) // 4 : -len(whole) // 4])  # no header any more
    row = _known(pair("song", cut, folder / "accompaniment.mp3"), 30.0, source)
    (found,) = _prune(tmp_path, [row])
    assert found["mix_decoded_s"] == pytest.approx(15, abs=0.2)
    assert found["instrumental_decoded_s"] == pytest.approx(30, abs=0.2)
    record = runs.record(str(tmp_path / "pairs"))
    assert record["counts"]["tracks_decoded"] == 2 and record["counts"]["lengths_differ"] == 1
    assert "50 % of the files (1 of 2)" in record["notes"][0]
    if source in ("counted", "stated"):
        assert found["decision"] == "unreadable"
        assert (
            found["reason"] == f"mixture: cut short: 15.0 of 30.0 s, as {source} for the catalogue"
        )
        assert [row["error"] for row in _rejects(tmp_path)] == ["cut_short"]
    else:
        assert found["decision"] != "unreadable" and _rejects(tmp_path) == []


def test_lengths_that_are_right_are_no_news(tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "audio/multitrack/mallory"
    row = pair("song", folder / "mixture.mp3", folder / "accompaniment.mp3")
    _prune(tmp_path, [_known(row, 30.5, "stated")])
    record = runs.record(str(tmp_path / "pairs"))
    assert "notes" not in record and record["counts"]["lengths_differ"] == 0
