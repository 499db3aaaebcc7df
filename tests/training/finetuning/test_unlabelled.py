"""Unlabelled mixtures: what can be used of a folder, and pieces anywhere in it."""

import dataclasses
import random
import shutil
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from pipelines.catalogue import scan
from stemlode import audio
from stemlode.addresses.rules import Rules
from stemlode.audio import AudioError
from stemlode.runs import BadUsage, Failed
from training.data import origins
from training.data.corpus import Bad, open_corpus
from training.finetuning import pieces
from training.finetuning.unlabelled import UNKNOWN, of_corpus, of_files, paths, stated, survey
from training.recipes.bsrnn import BSRNNRecipe
from training.recipes.registry import RECIPES

RATE = 44_100


def _recipe() -> BSRNNRecipe:
    recipe = RECIPES["bsrnn-vocals"]
    assert isinstance(recipe, BSRNNRecipe)
    return dataclasses.replace(recipe, patch_seconds=1.0)


def _music(seconds: float, rate: int = RATE, channels: int = 2, seed: int = 0) -> np.ndarray:
    """[channels, frames]: tones and a little noise, different in each channel."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * f * time * (1 + 0.01 * time)) for f in rng.uniform(100, 900, 5))
    noise = rng.standard_normal((channels, len(time)))
    return (0.05 * tones + 0.01 * noise).astype(np.float32)


def _m4a(path: Path, samples: np.ndarray) -> None:
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("aac", rate=RATE)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            sink.mux(packet)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and bad files, one of each kind."""
    root = tmp_path_factory.mktemp("unlabelled") / "songs"
    (root / "deeper").mkdir(parents=True)
    audio.write(str(root / "a.wav"), _music(13), RATE)
    audio.write(str(root / "deeper" / "mono.flac"), _music(9, channels=1, seed=1)[0], RATE)
    audio.write(str(root / "high.flac"), _music(7, 96_000, seed=2), 96_000)
    audio.write(str(root / "lossy.mp3"), _music(8, seed=3), RATE)
    audio.write(str(root / "lossy.ogg"), _music(8, seed=4), RATE)
    audio.write(str(root / "telephone.wav"), _music(8, 8000, seed=5), 8000)
    audio.write(str(root / "surround.wav"), _music(8, channels=6, seed=6), RATE)
    audio.write(str(root / "silence.wav"), np.zeros((2, 8 * RATE), np.float32), RATE)
    audio.write(str(root / "short.wav"), _music(0.2, seed=7), RATE)
    soundfile.write(root / "nan.wav", np.full((RATE * 8, 2), np.nan), RATE, subtype="FLOAT")
    (root / "text.mp3").write_text("these are words")
    (root / "empty.wav").touch()
    (root / "cut.flac").write_bytes((root / "high.flac").read_bytes()[:200_000])
    (root / "cover.jpg").write_bytes(b"no audio by its name")
    return root


def test_a_catalogue_s_addresses_are_not_trusted(folder: Path, tmp_path: Path) -> None:
    hostile = ["file:///etc/passwd", "/proc/self/environ", "http://127.0.0.1:1/a.wav"]
    good = str(folder / "a.wav")
    pq.write_table(pa.table({"audio_uri": [*hostile, good]}), tmp_path / "c.parquet")
    known = stated(str(tmp_path / "c.parquet"))
    found = survey(known, _recipe(), lossless_only=False, workers=0, rules=Rules())
    reasons = {one.uri: one.reason for one in found}
    assert all(reasons[uri].startswith("refused address: ") for uri in hostile), reasons
    assert not reasons[good]
    inside = Rules(roots=(str(tmp_path),))
    assert next(
        iter(survey({good: UNKNOWN}, _recipe(), lossless_only=False, workers=0, rules=inside))
    ).reason.startswith("refused address")
    usable = list(survey({good: UNKNOWN}, _recipe(), lossless_only=False, workers=0))
    with pytest.raises(AudioError, match="refused address"):  # also by a survey of before
        of_files(usable, inside).read(0, 0.0, (2, RATE), RATE)


REASONS = {
    "telephone.wav": "8,000 Hz is less than half of the model's 44,100 Hz",
    "silence.wav": "silent: no salient window",
    "short.wav": "too short: 0.2 s; an example lasts 1 s",
    "nan.wav": "samples that are not finite",
    "text.mp3": "not audio, or of an unknown format",
    "empty.wav": "empty file",
    "cut.flac": "damaged: ",
}
GOOD = {"a.wav", "mono.flac", "high.flac", "lossy.mp3", "lossy.ogg", "surround.wav"}


@pytest.mark.parametrize("workers", [0, 2])
def test_every_file_is_used_or_has_a_reason(folder: Path, workers: int) -> None:
    listed = paths(str(folder))
    found = list(
        survey(dict.fromkeys(listed, UNKNOWN), _recipe(), lossless_only=False, workers=workers)
    )
    assert [one.uri for one in found] == listed == sorted(listed)
    reasons = {Path(one.uri).name: one.reason for one in found if one.reason}
    assert set(reasons) == set(REASONS) and len(found) == len(GOOD) + len(REASONS)
    for name, reason in REASONS.items():
        assert reasons[name].startswith(reason) or "truncated" in reasons[name], name
    held = of_files(found)
    assert {Path(uri).name for uri in held.uris} == GOOD
    assert all(one.starts for one in found if not one.reason)
    assert held.count == sum(len(one.starts) for one in found)


def test_lossless_only_leaves_lossy_files_out(folder: Path) -> None:
    found = survey(stated(str(folder)), _recipe(), lossless_only=True, workers=0)
    reasons = {Path(one.uri).name: one.reason for one in found}
    assert {name for name in GOOD if reasons[name]} == {"lossy.mp3", "lossy.ogg"}
    assert reasons["lossy.mp3"] == "lossy: mp3/mp3 (--lossless-only)"


@pytest.mark.parametrize("start_s", [0.0, 0.05, 3.21, 11.7])
def test_a_piece_is_what_lies_there(folder: Path, start_s: float) -> None:
    whole = audio.read(str(folder / "a.wav")).samples
    first = round(start_s * RATE)
    expected = np.pad(whole[:, first : first + 2 * RATE], ((0, 0), (0, 2 * RATE)))[:, : 2 * RATE]
    found = pieces.read(str(folder / "a.wav"), start_s, (2, 2 * RATE), RATE)
    assert found.shape == (2, 2 * RATE) and np.array_equal(found.numpy(), expected)
    mono = pieces.read(str(folder / "a.wav"), start_s, (1, 2 * RATE), RATE)
    np.testing.assert_allclose(mono[0].numpy(), expected.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("name", ["lossy.mp3", "lossy.ogg", "high.flac", "aac.m4a"])
def test_a_piece_of_any_format_is_what_a_decoder_of_the_whole_gives(
    folder: Path, tmp_path: Path, name: str
) -> None:
    path = folder / name
    if name.endswith("m4a"):
        path = tmp_path / name
        _m4a(path, _music(8, seed=9))
    whole = audio.read(str(path), sample_rate=RATE).samples[:, round(4.5 * RATE) :][:, :RATE]
    found = pieces.read(str(path), 4.5, (2, RATE), RATE).numpy()
    error = np.square(found - whole)[:, 100:-100].sum() / np.square(whole)[:, 100:-100].sum()
    # AAC fills some bands with noise, which depends on where the decoder began.
    assert 10 * np.log10(error + 1e-12) < (-20 if name.endswith("m4a") else -40)


def test_a_bare_stream_of_frames_is_read_and_skipped_alike(tmp_path: Path) -> None:
    path = tmp_path / "bare.aac"  # ADTS: it has neither an index nor a length
    _m4a(path, _music(8, seed=9))
    whole = audio.read(str(path)).samples[:, 4 * RATE :]
    found = pieces.read(str(path), 4.0, (2, RATE), RATE).numpy()
    error = np.square(found - whole[:, :RATE]).sum() / np.square(whole[:, :RATE]).sum()
    assert 10 * np.log10(error + 1e-12) < -20
    skipped, rate = pieces._skipped(str(path), 4.0, 1.0)
    assert rate == RATE and np.array_equal(skipped[:, :RATE], whole[:, :RATE])
    beyond = pieces.read(str(path), 7.5, (2, RATE), RATE)
    assert float(beyond[:, -RATE // 4 :].abs().max()) == 0 < float(beyond[:, :1000].abs().max())


@pytest.mark.parametrize("name", ["text.mp3", "empty.wav", "nan.wav"])
def test_what_is_no_audio_is_an_audio_error(folder: Path, name: str) -> None:
    with pytest.raises(audio.AudioError):
        pieces.read(str(folder / name), 1.0, (2, RATE), RATE)


def test_a_mono_file_gives_equal_channels(folder: Path) -> None:
    found = pieces.read(str(folder / "deeper" / "mono.flac"), 1.0, (2, 1000), RATE)
    assert torch.equal(found[0], found[1]) and float(found.abs().max()) > 0


def test_windows_are_drawn_alike_and_pieces_lie_within_them(folder: Path) -> None:
    listed = paths(str(folder))
    held = of_files(
        list(survey(dict.fromkeys(listed, UNKNOWN), _recipe(), lossless_only=False, workers=0))
    )
    rejects: list[Bad] = []
    rng = random.Random(1)
    drawn = [held.draw(rng, (2, RATE // 10), RATE, rejects) for _ in range(120)]
    counts = Counter(Path(one.name).name for one in drawn)
    assert not rejects and set(counts) == GOOD
    windows = Counter(Path(held.name(n)).name for n in range(held.count))
    assert windows["a.wav"] == 3 and counts["a.wav"] > counts["high.flac"]  # 13 s: 0, 3, 6
    again = held.draw(random.Random(5), (2, 100), RATE, rejects)
    assert torch.equal(again.mixture, held.draw(random.Random(5), (2, 100), RATE, []).mixture)


def test_a_file_that_goes_away_is_passed_and_noted(folder: Path, tmp_path: Path) -> None:
    for name in ("a.wav", "lossy.ogg"):
        shutil.copy(folder / name, tmp_path)
    held = of_files(list(survey(stated(str(tmp_path)), _recipe(), lossless_only=False, workers=0)))
    (tmp_path / "lossy.ogg").write_bytes(b"overwritten by something else")
    rejects: list[Bad] = []
    drawn = [held.draw(random.Random(n), (2, 100), RATE, rejects) for n in range(20)]
    assert {one.name for one in drawn} == {str(tmp_path / "a.wav")}
    assert {bad.key for bad in rejects} == {str(tmp_path / "lossy.ogg")}
    (tmp_path / "a.wav").unlink()
    with pytest.raises(Failed, match=r"--unlabelled: 20 mixtures in turn cannot be read.*no such"):
        held.draw(random.Random(0), (2, 100), RATE, rejects)


def test_a_catalogue_names_its_files(folder: Path, tmp_path: Path) -> None:
    uris = [str(folder / "a.wav"), str(folder / "high.flac")]
    table = pa.table({"audio_uri": [*uris, None, uris[0]], "title": list("abcd")})
    pq.write_table(table, tmp_path / "catalogue.parquet")
    pacsv.write_csv(table, tmp_path / "catalogue.csv")
    for name in ("catalogue.parquet", "catalogue.csv"):
        assert paths(str(tmp_path / name)) == uris
    with pytest.raises(BadUsage, match="no column audio_uri"):
        pq.write_table(table.drop(["audio_uri"]), tmp_path / "bare.parquet")
        paths(str(tmp_path / "bare.parquet"))
    with pytest.raises(BadUsage, match="does not exist"):
        paths(str(tmp_path / "nowhere"))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(BadUsage, match="names no audio"):
        paths(str(tmp_path / "nothing"))


def test_a_scanned_folder_is_a_catalogue(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "songs").mkdir()
    shutil.copy(folder / "lossy.mp3", tmp_path / "songs")
    words = [str(tmp_path / "songs"), "--output", str(tmp_path / "scanned")]
    assert scan.main(words) == 0
    assert paths(str(tmp_path / "scanned")) == [str(tmp_path / "songs" / "lossy.mp3")]


def test_licences_are_those_of_the_catalogue_else_of_the_files(
    folder: Path, tmp_path: Path
) -> None:
    tagged, plain = tmp_path / "tagged.flac", folder / "a.wav"
    with soundfile.SoundFile(tagged, "w", RATE, 2, format="FLAC") as sink:
        sink.copyright, sink.license = "(c) A", "CC BY 4.0"
        sink.write(_music(4).T)
    rows = [{"audio_uri": str(plain), "licence": "CC0"}, {"audio_uri": str(tagged)}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "catalogue.parquet")
    known = stated(str(tmp_path / "catalogue.parquet")) | {str(folder / "high.flac"): UNKNOWN}
    found = list(survey(known, _recipe(), lossless_only=False, workers=0))
    assert [one.licence for one in found] == ["CC0", "CC BY 4.0", ""]
    facts = origins.of_recordings("/x/set", [(one.licence, one.duration_s) for one in found])
    hours = {one.licence: round(one.duration_s / 3600, 4) for one in found}
    assert (facts["set"], facts["songs"], facts["licences"]) == ("set", 3, hours)


def test_a_corpus_gives_its_mixtures_of_the_train_split(corpus_folder: Path) -> None:
    data = open_corpus(str(corpus_folder))
    held = of_corpus(data)
    train = data.of("train")
    assert {held.name(n) for n in range(held.count)} == set(train["sample_id"].to_pylist())
    segment = held.draw(random.Random(3), (2, 1600), 16_000, [])
    assert segment.mixture.shape == (2, 1600) and float(segment.mixture.abs().max()) > 0


def test_damaged_files_of_all_kinds_are_told_apart(test_data: Path) -> None:
    listed = paths(str(test_data / "audio" / "broken"))
    recipe = dataclasses.replace(_recipe(), patch_seconds=0.5)
    found = list(survey(dict.fromkeys(listed, UNKNOWN), recipe, lossless_only=False, workers=0))
    reasons = {Path(one.uri).name: one.reason for one in found}
    assert len(reasons) == len(listed) == 8
    assert {name for name, reason in reasons.items() if not reason} <= {"bit_rot.mp3"}
    assert reasons["zero_channels.wav"] == "zero channels"
    assert reasons["truncated.flac"].startswith("truncated or damaged")


def test_a_file_that_lost_its_end_is_left_out_by_the_catalogue(
    folder: Path, tmp_path: Path
) -> None:
    rows = [
        {"audio_uri": str(folder / "lossy.mp3"), "duration_s": 16.0, "duration_source": source}
        for source in ("stated", "given")
    ]
    for row in rows:
        table = tmp_path / f"{row['duration_source']}.parquet"
        pq.write_table(pa.Table.from_pylist([row]), table)
        (found,) = survey(stated(str(table)), _recipe(), lossless_only=False, workers=0)
        short = row["duration_source"] == "stated"
        assert found.reason.startswith("cut short: 8.0 of 16.0 s") == short, found
