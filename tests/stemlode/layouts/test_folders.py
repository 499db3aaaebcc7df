"""Multitrack layouts: folders exactly as the collections come, and one line for all others."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import yaml

from pipelines.samples import chunks, multitrack_chunks, recordings, sampling
from pipelines.samples.recordings import Facts, Recording, Shape
from stemlode import cli, tables
from stemlode.audio import AudioError
from stemlode.layouts import folders, grouping, musdb
from stemlode.layouts.songs import Part, Song, artist_of
from stemlode.runs import BadUsage

RATE = 8000
SHAPE = Shape(1.0, RATE, 1, window_seconds=0.0)


def _wav(path: Path, seed: int = 0, seconds: float = 1.5, channels: int = 1) -> np.ndarray:
    """A file of 16 bit noise, [frames, channels]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (round(seconds * RATE), channels)
    noise = np.random.default_rng(seed).integers(-2000, 2000, shape, dtype=np.int16)
    soundfile.write(path, noise, RATE, subtype="PCM_16")
    return noise


def _read(
    folder: Path, layout: str = "auto", sources: str = "own", mapping: Path | None = None
) -> list[Song]:
    return folders.read(str(folder), layout, sources, str(mapping) if mapping else None)


def _cut(song: Song) -> tuple[dict[str, np.ndarray], Facts]:
    """The integers of a song's first chunk, and what is known of the whole."""
    (recording,) = recordings.of_songs([song])
    facts = Facts()
    pieces = [
        chunk.integers
        for chunk in multitrack_chunks.multitrack_chunks(recording, RATE, SHAPE, RATE, facts)
        if chunk.scale == 1
    ]
    return {name: x.astype(int) for name, x in pieces[0].items()}, facts


def _musdb_hq(folder: Path) -> None:
    for side, song in (
        ("train", "A - Song"),
        ("train", "Young Griffo - Pennies"),
        ("test", "B & C - Söng"),
    ):
        stems = [
            _wav(folder / side / song / f"{name}.wav", seed)
            for seed, name in enumerate(("drums", "bass", "other", "vocals"))
        ]
        mixture = folder / side / song / "mixture.wav"
        soundfile.write(mixture, np.sum(stems, axis=0, dtype=np.int16), RATE, subtype="PCM_16")


def test_musdb18_hq(tmp_path: Path) -> None:
    _musdb_hq(tmp_path)
    songs = _read(tmp_path)
    assert {song.name: song.split for song in songs} == {
        "A - Song": "train",
        "Young Griffo - Pennies": "valid",
        "B & C - Söng": "test",
    }
    held, facts = _cut(songs[0])
    assert set(held) == {"mixture", "vocals", "drums", "bass", "other", "accompaniment"}
    assert (held["drums"] + held["bass"] + held["other"] == held["accompaniment"]).all()
    assert facts.sum_error_db == -120


def test_the_validation_songs_are_fourteen() -> None:
    assert len(musdb.VALIDATION) == 14


def test_a_song_that_lacks_a_stem_costs_one_song(tmp_path: Path) -> None:
    _musdb_hq(tmp_path)
    (tmp_path / "train/A - Song/bass.wav").unlink()
    faults = {song.name: song.fault for song in _read(tmp_path)}
    assert faults == {"A - Song": "has no bass", "Young Griffo - Pennies": "", "B & C - Söng": ""}
    with pytest.raises(AudioError, match="has no bass"):
        (recording,) = recordings.of_songs([_read(tmp_path)[0]])
        list(sampling.samples(recording, "train", "g", SHAPE, Facts()))


def _stem_file(path: Path, streams: Mapping[str, np.ndarray]) -> None:
    """An .mp4 with an AAC stream a source, [frames, 1] each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        outputs = [file.add_stream("aac", rate=44_100, layout="mono") for _ in streams]
        for output, samples in zip(outputs, streams.values(), strict=True):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples.T.astype(np.float32)), "fltp", "mono"
            )
            frame.sample_rate = 44_100
            for packet in [*output.encode(frame), *output.encode(None)]:
                file.mux(packet)


def test_musdb18_stem_files(tmp_path: Path) -> None:
    times = np.arange(44_100)[:, None] / 44_100
    tones = {
        name: 0.1 * np.sin(2 * np.pi * hz * times)
        for name, hz in (("drums", 200), ("bass", 400), ("other", 600), ("vocals", 800))
    }
    streams = {"mixture": np.sum(list(tones.values()), axis=0), **tones}
    _stem_file(tmp_path / "train/Leaf - Summerghost.stem.mp4", streams)
    _stem_file(tmp_path / "test/D - E.stem.mp4", streams)
    songs = _read(tmp_path)
    assert [(song.name, song.split) for song in songs] == [
        ("D - E", "test"),
        ("Leaf - Summerghost", "valid"),
    ]
    held, facts = _cut(songs[0])
    for name, hz in (("drums", 200), ("vocals", 800)):
        assert np.abs(np.fft.rfft(held[name][0])).argmax() * RATE / held[name].shape[1] == hz
    assert facts.sum_error_db is not None and facts.sum_error_db < -15


def test_a_real_stems_file(test_data: Path) -> None:
    (song,) = _read(test_data / "audio/multitrack/falcon")
    assert (song.name, song.split) == ("The Easton Ellises - Falcon 69", None)
    (recording,) = recordings.of_songs([song])
    facts, shape = Facts(), Shape(12.0, 44_100, 2)
    rows = [row for row, _ in sampling.samples(recording, "train", "g", shape, facts)]
    assert rows[0]["sources"] == ["accompaniment", "bass", "drums", "mixture", "other", "vocals"]
    assert facts.sum_error_db is not None and -20 < facts.sum_error_db < -10  # its ends do not


def test_ikala(tmp_path: Path) -> None:
    clips = {
        name: _wav(tmp_path / f"Wavfile/{name}.wav", n, channels=2)
        for n, name in enumerate(("10161_chorus", "10161_verse", "21025_chorus"))
    }
    songs = _read(tmp_path)
    assert [song.name for song in songs] == sorted(clips)
    ids = [recording.song_id for recording in recordings.of_songs(songs)]
    assert ids[0] == ids[1] != ids[2]  # verse and chorus of one song
    held, _ = _cut(songs[0])
    given = clips[songs[0].name][:RATE].T.astype(int)
    assert (held["accompaniment"][0] == given[0]).all() and (held["vocals"][0] == given[1]).all()
    assert (held["mixture"] == given.sum(axis=0)).all()


def test_an_ikala_clip_with_one_channel_says_so(tmp_path: Path) -> None:
    _wav(tmp_path / "Wavfile/10161_chorus.wav")
    with pytest.raises(AudioError, match="1 channels; the source is number 2"):
        _cut(_read(tmp_path)[0])


def _moisesdb(folder: Path, song: str) -> dict[str, np.ndarray]:
    stems: list[dict[str, Any]] = []
    noises = {}
    for seed, (stem, kinds) in enumerate(
        {
            "vocals": ["lead female singer", "background vocals"],
            "bass": ["bass guitar"],
            "other_keys": ["synth pad"],
            "guitar": ["acoustic guitar"],
            "percussion": ["a-tonal percussion"],
        }.items()
    ):
        tracks = []
        for number, kind in enumerate(kinds):
            name = f"{stem}-{number}"
            noises[name] = _wav(folder / song / stem / f"{name}.wav", 10 * seed + number)
            tracks.append({"id": name, "trackType": kind, "extension": "wav", "has_bleed": False})
        stems.append({"id": stem, "stemName": stem, "tracks": tracks})
    facts = {"song": "Title", "artist": "Artist", "genre": "rock", "stems": stems}
    (folder / song / "data.json").write_text(json.dumps(facts))
    return noises


def test_moisesdb(tmp_path: Path) -> None:
    noises = _moisesdb(tmp_path / "moisesdb_v0.1", "0f1c-uuid")
    (song,) = _read(tmp_path)
    assert (song.name, song.genre) == ("0f1c-uuid", "rock")
    held, facts = _cut(song)
    voices = noises["vocals-0"][:RATE].astype(int) + noises["vocals-1"][:RATE]
    assert (held["vocals"][0] == voices[:, 0]).all()
    assert facts.sum_error_db is None
    five, _ = _cut(_read(tmp_path, sources="five")[0])
    assert set(five) == {*grouping.GROUPINGS["five"], "accompaniment", "mixture"}
    assert (five["mixture"] == held["mixture"]).all()
    four, _ = _cut(_read(tmp_path, sources="four")[0])
    assert (four["other"] == five["other"] + five["guitar"]).all()
    assert (four["drums"][0] == noises["percussion-0"][:RATE, 0]).all()


@pytest.mark.parametrize("facts", ["", "[]", '{"stems": 3}', '{"stems": [{"stemName": "x"}]}'])
def test_moisesdb_facts_that_are_none_cost_one_song(tmp_path: Path, facts: str) -> None:
    _moisesdb(tmp_path, "good")
    _moisesdb(tmp_path, "bad")
    (tmp_path / "bad/data.json").write_text(facts)
    faults = {song.name: song.fault for song in _read(tmp_path)}
    assert faults["bad"].startswith("data.json: ") and not faults["good"]


def test_moisesdb_without_a_track_names_it(tmp_path: Path) -> None:
    _moisesdb(tmp_path, "good")
    _moisesdb(tmp_path, "bad")
    (tmp_path / "bad/guitar/guitar-0.wav").unlink()
    faults = {song.name: song.fault for song in _read(tmp_path)}
    assert faults["bad"] == "data.json names guitar/guitar-0.wav, which is not there"


@pytest.mark.slow
def test_bleed_is_recorded_and_rejected_on_request(tmp_path: Path) -> None:
    moises, medley = tmp_path / "moisesdb", tmp_path / "medleydb"
    for song in ("clean", "leaking"):
        _moisesdb(moises, song)
        _medleydb(medley, song)
    facts = json.loads((moises / "leaking/data.json").read_text())
    facts["stems"][3]["tracks"][0]["has_bleed"] = True  # the guitar's
    (moises / "leaking/data.json").write_text(json.dumps(facts))
    path = medley / "Metadata/leaking_METADATA.yaml"
    path.write_text(path.read_text().replace("has_bleed: 'no'", "has_bleed: yes"))
    weights = {song: {1: 0.5, 2: 2.0, 3: 1.0, 4: 0.25} for song in ("clean", "leaking")}
    (medley / "mixing_coefficients.yaml").write_text(yaml.safe_dump(weights))
    bleed = {song.name: song.bleed for song in _read(moises)}
    assert bleed == {"clean": (), "leaking": ("guitar",)}
    assert {s.name: s.bleed for s in _read(moises, sources="four")}["leaking"] == ("other",)
    assert {song.name: song.bleed for song in _read(medley)} == {
        "clean": (),
        "leaking": ("drum_set", "electric_bass", "vocals"),
    }
    argv = ["corpus", "--stems", str(moises), "--fingerprints", "off", "--sample-rate", str(RATE)]
    for choice, names in (("keep", ["clean", "leaking"]), ("reject", ["clean"])):
        out = str(tmp_path / choice)
        assert cli.main([*argv, "--output", out, "--bleed", choice]) == 0
        songs = tables.read(out, "songs").to_pylist()
        assert sorted(song["name"] for song in songs) == names
        assert [row["error"] for row in tables.read(out, "rejects").to_pylist()] == ["bleed"] * (
            choice == "reject"
        )
    assert tables.read(str(tmp_path / "keep"), "songs")["bleed"].to_pylist() in (
        [None, ["guitar"]],
        [["guitar"], None],
    )


def _medleydb(folder: Path, song: str = "Artist_Title") -> dict[int, np.ndarray]:
    weights = {1: 0.5, 2: 2.0, 3: 1.0, 4: 0.25}
    instruments = ("female singer", "electric bass", "drum set", "female singer")
    stems, noises = {}, {}
    for number, instrument in enumerate(instruments, 1):
        name = f"{song}_STEM_{number:02d}.wav"
        noises[number] = _wav(folder / f"Audio/{song}/{song}_STEMS/{name}", number).astype(float)
        stems[f"S{number:02d}"] = {"filename": name, "instrument": instrument, "component": ""}
    mixture = sum(weights[n] * noise for n, noise in noises.items())
    path = folder / f"Audio/{song}/{song}_MIX.wav"
    soundfile.write(path, mixture / 32_768, RATE, subtype="FLOAT")
    facts = {"genre": "Singer/Songwriter", "stems": stems, "has_bleed": "no"}
    (folder / "Metadata").mkdir(exist_ok=True)
    (folder / f"Metadata/{song}_METADATA.yaml").write_text(yaml.safe_dump(facts))
    (folder / "mixing_coefficients.yaml").write_text(yaml.safe_dump({song: weights}))
    return {n: weights[n] * noise for n, noise in noises.items()}


def test_medleydb_weights_its_stems(tmp_path: Path) -> None:
    weighted = _medleydb(tmp_path)
    (song,) = _read(tmp_path)
    assert song.genre == "Singer/Songwriter"
    held, facts = _cut(song)
    assert set(held) == {"vocals", "electric_bass", "drum_set", "accompaniment", "mixture"}
    assert np.abs(held["electric_bass"][0] - weighted[2][:RATE, 0]).max() <= 0.5
    assert np.abs(held["vocals"][0] - (weighted[1] + weighted[4])[:RATE, 0]).max() <= 1
    assert facts.sum_error_db is not None and facts.sum_error_db < -55
    four, _ = _cut(_read(tmp_path, sources="four")[0])
    assert set(four) == {"vocals", "bass", "drums", "accompaniment", "mixture"}


def test_medleydb_without_its_weights_is_one_line(tmp_path: Path) -> None:
    _medleydb(tmp_path)
    (tmp_path / "mixing_coefficients.yaml").unlink()
    with pytest.raises(BadUsage, match=r"without mixing_coefficients\.yaml"):
        _read(tmp_path)


@pytest.mark.parametrize(
    "name", ["mixing_coefficients.yaml", "Metadata/Artist_Title_METADATA.yaml"]
)
@pytest.mark.parametrize(
    "text",
    [
        '!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ["{ran}"]]',
        "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghij")),
        "{" * 5_000,
        "Artist_Title: {1: .nan, 2: [], 3: 1e999, 4: x}",
    ],
)
def test_medleydb_by_someone_else_runs_nothing(name: str, text: str, tmp_path: Path) -> None:
    """Code, references that multiply, nests without end, weights that are none."""
    _medleydb(tmp_path)
    (tmp_path / name).write_text(text.replace("{ran}", str(tmp_path / "ran")))
    try:
        songs = _read(tmp_path)
    except BadUsage as error:
        assert "\n" not in str(error)
    else:
        for song in songs:
            if not song.fault:
                with contextlib.suppress(AudioError):
                    _cut(song)
    assert not (tmp_path / "ran").exists()


def test_the_wrong_weights_do_not_sum_to_the_mixture(tmp_path: Path) -> None:
    _medleydb(tmp_path)
    wrong = {"Artist_Title": {1: -2.0, 2: 0.1, 3: -1.0, 4: 3.0}}
    (tmp_path / "mixing_coefficients.yaml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(AudioError, match=r"do not sum to the mixture \(error \+?-?\d+\.\d dB\)"):
        _cut(_read(tmp_path)[0])


MAPPING = """
leave_out = ["*demo*"]
[sources]
mixture = ["mix.wav"]
vocals = ["VOX*.wav", "backing/*.wav"]
other = "*"
"""


def test_a_mapping_file_says_what_is_what(tmp_path: Path) -> None:
    names = ("vox 1.wav", "backing/a.wav", "synth.wav", "gtr.wav", "demo.wav")
    noises = {name: _wav(tmp_path / f"in/Song/{name}", n) for n, name in enumerate(names)}
    (tmp_path / "map.toml").write_text(MAPPING)
    (song,) = _read(tmp_path / "in", mapping=tmp_path / "map.toml")
    held, _ = _cut(song)
    assert set(held) == {"vocals", "other", "accompaniment", "mixture"}
    voices = noises["vox 1.wav"][:RATE].astype(int) + noises["backing/a.wav"][:RATE]
    assert (held["vocals"][0] == voices[:, 0]).all()
    assert (
        held["mixture"][0] - held["vocals"][0]
        == sum(noises[name][:RATE, 0].astype(int) for name in ("synth.wav", "gtr.wav"))
    ).all()


def test_a_file_that_no_pattern_names_costs_its_song(tmp_path: Path) -> None:
    _wav(tmp_path / "in/a/vox.wav")
    _wav(tmp_path / "in/b/vox.wav")
    _wav(tmp_path / "in/b/what.wav")
    (tmp_path / "map.toml").write_text('[sources]\nvocals = ["vox.wav"]')
    songs = _read(tmp_path / "in", mapping=tmp_path / "map.toml")
    assert [song.fault for song in songs] == ["", "no source for what.wav; name one, or leave_out"]


def test_one_file_in_two_formats_is_not_summed_twice(tmp_path: Path) -> None:
    for song, name in (("a", "vox.wav"), ("b", "vox.wav"), ("b", "vox.flac"), ("b", "vox 2.wav")):
        _wav(tmp_path / "in" / song / name)
    (tmp_path / "map.toml").write_text('[sources]\nvocals = ["vox*", "*"]')
    songs = _read(tmp_path / "in", mapping=tmp_path / "map.toml")
    told = "vox.flac and vox.wav: two files of one name; leave_out one"
    assert [song.fault for song in songs] == ["", told]
    assert len(songs[1].parts["vocals"]) == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[sources", "map.toml: "),
        ("songs = '*'", r"needs \[sources\]"),
        ("[sources]\nVocals = ['a']", "Vocals: a source's name"),
        ("[sources]\nvocals = [3]", "vocals: write file patterns"),
        ("[source]\nvocals = ['a']", "source: it may say"),
        ("songs = 3\n[sources]\nvocals = ['a']", "songs: write the song folders"),
        ("[sources]\nvocals = ['nothing']", "no file in .* matches"),
    ],
)
def test_a_mapping_file_that_is_none_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    _wav(tmp_path / "in/a/vox.wav")
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(BadUsage, match=told) as error:
        _read(tmp_path / "in", mapping=tmp_path / "map.toml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("layout", [*folders.LAYOUTS, "auto"])
def test_a_folder_of_anything_else_is_one_line(tmp_path: Path, layout: str) -> None:
    _wav(tmp_path / "loose.wav")
    (tmp_path / "notes.txt").write_text("no music")
    with pytest.raises(BadUsage) as error:
        _read(tmp_path, layout)
    told = str(error.value)
    assert str(tmp_path) in told and "\n" not in told
    assert layout == "auto" or layout in told


def test_folders_that_cannot_be_looked_into_cost_one_song_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for song in ("good", "closed", "x/closed"):
        _wav(tmp_path / song / "vocals.wav")
        _wav(tmp_path / song / "drums.wav")
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("/closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # modes do not keep root out
    told = "cannot be looked into: Permission denied"
    for found in (_read(tmp_path), folders.unpaired(str(tmp_path), "vocals", "vocals")):
        faults = {song.name: song.fault for song in found if song.fault}
        assert faults == {"closed": told, "x/closed": told}


def test_a_file_in_a_folders_place_is_one_line(tmp_path: Path) -> None:
    _wav(tmp_path / "voice.wav")
    path = str(tmp_path / "voice.wav")
    for read, option in (
        (lambda: folders.unpaired(path, "vocals", "vocals"), "--vocals"),
        (lambda: folders.read(path, "auto", "own", None), "--stems"),
    ):
        with pytest.raises(BadUsage, match=f"{option} .*: is a file; name the folder"):
            read()


def test_names_that_no_table_can_hold_cost_one_song(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 in a folder's name, and half a character in a song's facts."""
    _wav(tmp_path / "in/good/vocals.wav")
    _wav(tmp_path / "in/good/drums.wav")
    shutil.copytree(tmp_path / "in/good", tmp_path / "in" / os.fsdecode(b"by\xfftes"))
    argv = ["corpus", "--stems", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert cli.main([*argv, "--fingerprints", "off", "--window-seconds", "0"]) == 0
    (row,) = tables.read(str(tmp_path / "out"), "rejects").to_pylist()
    assert (row["key"], row["error"]) == ("by\\udcfftes", "layout")
    assert "not UTF-8" in row["message"]
    _moisesdb(tmp_path / "moises", "song")
    facts = (tmp_path / "moises/song/data.json").read_text()
    (tmp_path / "moises/song/data.json").write_text(facts.replace('"rock"', '"\\ud83d"'))
    assert _read(tmp_path / "moises")[0].genre == "\\ud83d"


def test_every_layout_recognises_its_own_alone(tmp_path: Path) -> None:
    _musdb_hq(tmp_path / "musdb18-hq")
    _stem_file(tmp_path / "musdb18/train/a - b.stem.mp4", {"mixture": np.zeros((2048, 1))})
    _wav(tmp_path / "ikala/Wavfile/1_verse.wav", channels=2)
    _moisesdb(tmp_path / "moisesdb", "x")
    _medleydb(tmp_path / "medleydb")
    _wav(tmp_path / "folders/song/vocals.wav")
    for name in folders.LAYOUTS:
        folder = str(tmp_path / name)
        paths = folders.files.list_files(folder)
        found = [n for n, layout in folders.LAYOUTS.items() if layout.recognise(folder, paths)]
        assert found[0] == name


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Female Singer", "vocals"),
        ("lead_vocals", "vocals"),
        ("electric bass", "bass"),
        ("double bass", "bass"),
        ("bass drum", "drums"),
        ("bass clarinet", "other"),
        ("clean electric guitar", "guitar"),
        ("drum machine", "drums"),
        ("percussion", "drums"),
        ("piano", "other"),
        ("contrabassoon", "other"),
    ],
)
def test_instruments_belong_to_families(name: str, family: str) -> None:
    assert grouping.family(name) == family


@pytest.mark.parametrize(
    ("stem", "groupings"),
    [
        ("bassdrums", ["two"]),
        ("Drums & Bass", ["two"]),
        ("vocals_guitar", []),
        ("bass drum", ["two", "four", "five"]),
        ("bass_guitar", ["two", "four", "five"]),
        ("pianosynth", ["two", "four", "five"]),
    ],
)
def test_a_stem_that_is_a_sum_is_not_taken_for_one_source(stem: str, groupings: list[str]) -> None:
    song = Song("x", {name: (Part(f"{name}.wav"),) for name in ("lead_vocals", stem)})
    found = {name: grouping.grouped(song, name).fault for name in ("two", "four", "five")}
    assert [name for name, fault in found.items() if not fault] == groupings
    assert all(f"{stem} is a sum" in fault for fault in found.values() if fault)


def test_two_sources_of_a_song_without_voice_are_an_instrumental() -> None:
    song = Song("x", {name: (Part(f"{name}.wav"),) for name in ("drums", "bass", "mixture")})
    two = grouping.grouped(song, "two")
    assert two.kind == "unpaired" and set(two.parts) == {"accompaniment"}


def test_unpaired_collections_keep_songs_of_one_source(tmp_path: Path) -> None:
    voice = _wav(tmp_path / "voices/a/one.wav", 1)
    _wav(tmp_path / "backing/one.wav", 2)
    out = tmp_path / "out"
    argv = ["corpus", "--vocals", str(tmp_path / "voices"), "--output", str(out)]
    argv += ["--instrumentals", str(tmp_path / "backing"), "--sample-rate", "8000"]
    argv += ["--channels", "1", "--window-seconds", "0.5", "--split", "train=1"]
    assert cli.main(argv) == 0
    index = tables.read(str(out), "index").to_pylist()
    assert {(row["kind"], *row["sources"]) for row in index} == {
        ("unpaired", "vocals"),
        ("unpaired", "accompaniment"),
    }
    assert len({row["song_id"] for row in index}) == 2
    assert cli.main(["verify", str(out)]) == 0
    assert voice.shape[0] == sum(
        round(row["duration_s"] * RATE) for row in index if row["sources"] == ["vocals"]
    )


def test_integers_are_those_of_the_files(tmp_path: Path) -> None:
    given = _wav(tmp_path / "s/vocals.wav", 3)
    _wav(tmp_path / "s/drums.wav", 4)
    held, _ = _cut(_read(tmp_path)[0])
    assert (held["vocals"][0] == given[:RATE, 0]).all()
    assert chunks.full_scale(16) == 32_768


def test_recordings_ids_depend_on_names_alone(tmp_path: Path) -> None:
    found: list[list[Recording]] = []
    for place in ("here", "there"):
        _wav(tmp_path / place / "song/vocals.wav")
        _wav(tmp_path / place / "song/bass.wav")
        found.append(recordings.of_songs(_read(tmp_path / place)))
    assert found[0][0].recording_id == found[1][0].recording_id


@pytest.mark.parametrize(
    ("name", "artist"),
    [
        ("Sum 41 - Pieces", "Sum 41"),
        ("Adele - 19.flac", "Adele"),
        ("x/07 - Adele - Hello.mp3", "Adele"),
        ("07. Adele – Hello", "Adele"),
        ("07 Adele — Hello", "Adele"),
        ("50 Cent - In Da Club", "50 Cent"),
        ("Adele_-_Hello.ogg", "Adele"),
        ("07 - Hello", None),
        ("Jay-Z", None),
        ("Adele - ", None),
    ],
)
def test_the_artist_stands_before_the_dash(name: str, artist: str | None) -> None:
    assert artist_of(name) == artist
