"""Separation: the input's length, rate and channels; parts that sum to it; faults in one line."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stemlode import audio, cli, files
from stemlode.audio import mixdown
from stemlode.layouts import naming
from stemlode.runs import BadUsage, Failed
from tests.training.conftest import RATE, sing
from training import checkpoint
from training.checkpoint import Checkpoint
from training.recipes import masking, registry
from training.recipes.chunks import Chunking
from training.recipes.registry import RECIPES
from training.separation import command as separation_command
from training.separation import separate, songs
from training.separation.system import System

STEMS = ("vocals", "accompaniment")
NEEDED = ("--checkpoint", "/none", "--output", "/x")


def _music(seconds: float, rate: int, channels: int) -> np.ndarray:
    """[channels, frames] of noise and a tone, each channel its own."""
    rng = np.random.default_rng(channels)
    time = np.arange(max(1, round(seconds * rate))) / rate
    tone = np.sin(2 * np.pi * 440 * time) * rng.uniform(0.1, 0.5, (channels, 1))
    return (tone + 0.1 * rng.standard_normal(tone.shape)).astype(np.float32)


def _separate(inputs: list[Path], model: Path, output: Path) -> int:
    names = [str(path) for path in inputs]
    return separation_command.main([*names, "--checkpoint", str(model), "--output", str(output)])


def _parts(output: Path, name: str) -> tuple[audio.Audio, audio.Audio]:
    vocals, accompaniment = (audio.read(str(output / name / f"{stem}.wav")) for stem in STEMS)
    return vocals, accompaniment


@pytest.mark.parametrize("rate", [8000, 8192, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("seconds", [0.05, 1.7])
def test_parts_have_the_inputs_shape_and_sum_to_it(
    tiny_checkpoint: Path, tmp_path: Path, rate: int, channels: int, seconds: float
) -> None:
    mixture = _music(seconds, rate, channels)
    audio.write(str(tmp_path / "song.wav"), mixture, rate, "FLOAT")
    mixture = mixdown.as_heard(mixture)  # of more than two channels it is what is separated
    assert _separate([tmp_path / "song.wav"], tiny_checkpoint, tmp_path / "out") == 0
    vocals, accompaniment = _parts(tmp_path / "out", "song")
    for part in (vocals, accompaniment):
        assert part.samples.shape == mixture.shape and part.sample_rate == rate
    assert np.allclose(vocals.samples + accompaniment.samples, mixture, atol=1e-6)
    assert np.abs(vocals.samples).max() > 0.01


@pytest.mark.parametrize("frames", [1, 2, 5, 500])
def test_a_few_samples_are_enough(tiny_checkpoint: Path, tmp_path: Path, frames: int) -> None:
    mixture = _music(1, 44_100, 2)[:, :frames]
    audio.write(str(tmp_path / "tick.wav"), mixture, 44_100, "FLOAT")
    assert _separate([tmp_path / "tick.wav"], tiny_checkpoint, tmp_path / "out") == 0
    vocals, accompaniment = _parts(tmp_path / "out", "tick")
    assert np.allclose(vocals.samples + accompaniment.samples, mixture, atol=1e-6)


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg", "opus"])
def test_any_format_is_read(tiny_checkpoint: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"song.{suffix}"
    audio.write(str(path), 0.5 * _music(1, 48_000, 2), 48_000)
    assert _separate([path], tiny_checkpoint, tmp_path / "out") == 0
    decoded = audio.read(str(path))
    vocals, accompaniment = _parts(tmp_path / "out", "song")
    assert np.allclose(vocals.samples + accompaniment.samples, decoded.samples, atol=1e-6)


def test_a_real_stems_file_is_read(test_data: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    (path,) = (test_data / "audio" / "multitrack" / "falcon").glob("*.mp4")
    assert _separate([path], tiny_checkpoint, tmp_path / "out") == 0
    decoded = audio.read(str(path))
    vocals, _ = _parts(tmp_path / "out", "The Easton Ellises - Falcon 69.stem")
    assert vocals.samples.shape == decoded.samples.shape


def test_vocals_end_below_half_the_models_rate(tiny_checkpoint: Path, tmp_path: Path) -> None:
    audio.write(str(tmp_path / "song.wav"), _music(2, 44_100, 1), 44_100)
    _separate([tmp_path / "song.wav"], tiny_checkpoint, tmp_path / "out")
    vocals, accompaniment = _parts(tmp_path / "out", "song")
    power = np.abs(np.fft.rfft(vocals.samples[0])) ** 2
    above = power[np.fft.rfftfreq(vocals.samples.shape[1], 1 / 44_100) > 4200].sum()
    assert above < 1e-6 * power.sum()
    assert np.abs(np.fft.rfft(accompaniment.samples[0]))[-1000:].max() > 0


def test_a_file_gives_what_the_song_in_memory_gives(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of any size, from decoding to writing, leave no trace: nothing shifts or clicks."""
    monkeypatch.setattr(masking, "PIECE_FRAMES", 64)
    mixture = _music(20, 44_100, 2)
    audio.write(str(tmp_path / "song.wav"), mixture, 44_100, "FLOAT")
    _separate([tmp_path / "song.wav"], tiny_checkpoint, tmp_path / "out")
    vocals, _ = _parts(tmp_path / "out", "song")
    trained = checkpoint.load(str(tiny_checkpoint))
    expected = separate.separate(mixture, 44_100, trained, Chunking())["vocals"]
    assert np.abs(vocals.samples - expected).max() < 1e-4


def test_the_same_input_gives_the_same_bytes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    audio.write(str(tmp_path / "song.wav"), _music(1, 44_100, 2), 44_100)
    for name in ("one", "two"):
        _separate([tmp_path / "song.wav"], tiny_checkpoint, tmp_path / name)
    for stem in STEMS:
        one, two = (tmp_path / name / "song" / f"{stem}.wav" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.slow
def test_memory_is_flat_for_three_hours(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Decoded, separated, resampled twice and written, by the verb itself."""

    def peak_mib(minutes: int) -> float:
        path, output = tmp_path / f"{minutes}.flac", tmp_path / f"out{minutes}"
        with soundfile.SoundFile(path, "w", 16_000, 1, "PCM_16") as file:
            for _ in range(minutes):
                file.write(_music(60, 16_000, 1).T)
        command = [sys.executable, "-m", "stemlode", "separate", str(path)]
        command += ["--checkpoint", str(tiny_checkpoint), "--output", str(output)]
        script = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        run = [sys.executable, "-c", script, *command]
        printed = subprocess.run(run, check=True, capture_output=True, text=True).stdout
        for wav in output.rglob("*.wav"):
            assert audio.probe(str(wav)).duration_s == 60 * minutes
        shutil.rmtree(output)
        return int(printed.split()[-1]) / 1024

    # Three hours of this are 659 MiB as decoded, 338 MiB at the model's rate.
    assert peak_mib(180) < peak_mib(5) + 40


def test_progress_is_told_in_seconds_of_audio(tiny_checkpoint: Path, tmp_path: Path) -> None:
    audio.write(str(tmp_path / "song.wav"), _music(7, 44_100, 2), 44_100)
    told: list[float] = []
    models = [checkpoint.load(str(tiny_checkpoint))]
    source, folder = str(tmp_path / "song.wav"), str(tmp_path / "out")
    separate.separate_file(source, folder, System(models), done=told.append)
    assert len(told) > 3 and sum(told) == pytest.approx(7)


def test_broken_inputs_cost_themselves_alone(
    test_data: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = test_data / "audio" / "broken"
    bad = [broken / name for name in ("empty.wav", "text_named.mp3", "zeros.ogg", "truncated.flac")]
    audio.write(str(tmp_path / "good.wav"), _music(1, 44_100, 2), 44_100)
    inputs = [*bad[:2], tmp_path / "good.wav", *bad[2:], tmp_path / "none.wav"]
    for _ in range(2):  # a rerun tries again, and says so again
        with pytest.raises(Failed, match="5 of 6 inputs could not be separated"):
            _separate(inputs, tiny_checkpoint, tmp_path / "out")
        lines = capsys.readouterr().err.splitlines()
        for path in (*bad, tmp_path / "none.wav"):
            assert sum(line.startswith(f"error: {path}: ") for line in lines) == 1
        vocals, _ = _parts(tmp_path / "out", "good")
        assert vocals.duration_s == 1
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["chunks_at_once"] == 4
    assert record["counts"] == {"inputs": 6, "rejected": 5, "separated": 1}
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == ["good"]


def test_a_rerun_does_what_is_left(tiny_checkpoint: Path, tmp_path: Path) -> None:
    audio.write(str(tmp_path / "good.wav"), _music(1, 44_100, 2), 44_100)
    inputs = [tmp_path / "good.wav", tmp_path / "later.wav"]
    with pytest.raises(Failed):
        _separate(inputs, tiny_checkpoint, tmp_path / "out")
    done = (tmp_path / "out" / "good" / "vocals.wav").stat().st_mtime_ns
    audio.write(str(tmp_path / "later.wav"), _music(1, 44_100, 2), 44_100)
    assert _separate(inputs, tiny_checkpoint, tmp_path / "out") == 0
    assert (tmp_path / "out" / "good" / "vocals.wav").stat().st_mtime_ns == done
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["counts"]["rejected"] == 0 and len(record["outputs"]) == 4
    assert record["songs"] == {"good": str(inputs[0]), "later": str(inputs[1])}


def test_nothing_half_written_is_left_by_a_full_disk(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio.write(str(tmp_path / "song.wav"), _music(5, 44_100, 2), 44_100)
    blocks = 0
    real = separate.wav.samples

    def full(block: np.ndarray) -> bytes:
        nonlocal blocks
        blocks += 1
        if blocks == 4:
            raise OSError(28, "No space left on device")
        return real(block)

    with monkeypatch.context() as patched, pytest.raises(Failed, match="No space left"):
        patched.setattr(separate.wav, "samples", full)
        _separate([tmp_path / "song.wav"], tiny_checkpoint, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.wav"))
    assert _separate([tmp_path / "song.wav"], tiny_checkpoint, tmp_path / "out") == 0


def test_names_are_safe_and_never_shared() -> None:
    inputs = ["/a/song.mp3", "/b/song.wav", "/c/SONG.flac", "/d/..", "s3://b/k/song-2.ogg"]
    inputs += ["/e/Ænima — «live» (1996)/02: a*b?.mp3", "/f/run.json.mp3", "/g/" + "ü" * 300]
    inputs += ["/h/.hidden.wav", "/j/E\u0301te\u0301 हिन्दी.wav", "/i/歌.wav"]
    names = naming.of_files(inputs)
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert name.strip(" .") == name and name
        assert "/" not in name and ":" not in name and len(name.encode()) < 200
    assert names[:2] == ["song", "song-2"] and names[-2:] == ["Été हिन्दी", "歌"]
    assert "run.json" not in names
    assert naming.of_files(["/a/index.html.mp3"], ["index.html"]) == ["index.html-2"]


def test_two_inputs_of_one_name_do_not_overwrite_each_other(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    for index, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        music = _music(1 + index, 44_100, 2)
        audio.write(str(tmp_path / folder / "song.wav"), music, 44_100)
    inputs = [tmp_path / "a" / "song.wav", tmp_path / "b" / "song.wav"]
    assert _separate(inputs, tiny_checkpoint, tmp_path / "out") == 0
    assert _parts(tmp_path / "out", "song")[0].duration_s == 1
    assert _parts(tmp_path / "out", "song-2")[0].duration_s == 2


def test_further_songs_come_to_those_that_are_there(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "song.wav", tmp_path / "b" / "song.wav"
    output = tmp_path / "out"
    for seconds, path in ((1, first), (2, second)):
        path.parent.mkdir(exist_ok=True)
        audio.write(str(path), _music(seconds, 8000, 1), 8000)
    assert _separate([first], tiny_checkpoint, output) == 0
    written = (output / "song" / "vocals.wav").stat().st_mtime_ns
    first.unlink()  # nobody needs it any more
    capsys.readouterr()
    assert _separate([second], tiny_checkpoint, output) == 0
    shown = capsys.readouterr().out
    assert "out/song-2/vocals.wav" in shown and "out/song/" not in shown
    assert (output / "song" / "vocals.wav").stat().st_mtime_ns == written
    assert _parts(output, "song-2")[0].duration_s == 2
    record = json.loads((output / "run.json").read_text())
    assert record["songs"] == {"song": str(first), "song-2": str(second)}
    assert {name.partition("/")[0] for name in record["outputs"]} == {"song", "song-2"}
    for inputs in ([second], [first], [second, first]):
        assert _separate(inputs, tiny_checkpoint, output) == 0
        assert "already complete" in capsys.readouterr().out
    other = Path(shutil.copytree(tiny_checkpoint, tmp_path / "other"))
    (other / "note").write_text("another model")
    with pytest.raises(BadUsage, match="made before --checkpoint changed"):
        _separate([second], other, output)


def test_what_was_refused_before_costs_only_the_command_that_asks_for_it(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song, other, typo, output = (tmp_path / name for name in ("a.wav", "b.wav", "c.wav", "out"))
    for path in (song, other):
        audio.write(str(path), _music(0.3, 8000, 1), 8000)
    for _ in range(2):
        with pytest.raises(Failed, match="2 of 3 inputs"):
            _separate([song, typo, tmp_path / "*.mp3"], tiny_checkpoint, output)
        said = capsys.readouterr().err
        assert "c.wav: no such file" in said and "*.mp3: matches no audio file" in said
    assert _separate([song], tiny_checkpoint, output) == 0
    assert _separate([other], tiny_checkpoint, output) == 0
    assert "c.wav" not in capsys.readouterr().err
    record = json.loads((output / "run.json").read_text())
    assert record["counts"] == {"inputs": 3, "rejected": 1, "separated": 2}
    assert [*record["rejects"]] == [str(typo)] and len(record["outputs"]) == 4
    assert [one["seconds"] for one in record["separated"].values()] == [0.3, 0.3]


def test_a_stem_that_is_gone_damaged_or_of_another_song_is_made_again(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song, other, output = tmp_path / "song.wav", tmp_path / "b.wav", tmp_path / "out"
    for path in (song, other):
        audio.write(str(path), _music(0.3, 8000, 1), 8000)
    assert _separate([song, other], tiny_checkpoint, output) == 0
    stem = output / "song" / "vocals.wav"
    wanted = stem.read_bytes()
    for damage in (stem.unlink, lambda: os.truncate(stem, 1000), lambda: os.truncate(stem, 20)):
        damage()
        assert _separate([other], tiny_checkpoint, output) == 0  # is not asked for it
        assert not stem.exists() or stem.stat().st_size < len(wanted)
        assert _separate([song], tiny_checkpoint, output) == 0
        assert stem.read_bytes() == wanted
    tagged = wanted + b"LIST\x04\0\0\0INFO"  # by its owner, who keeps it
    stem.write_bytes(tagged)
    capsys.readouterr()
    assert _separate([song], tiny_checkpoint, output) == 0
    assert "already complete" in capsys.readouterr().out and stem.read_bytes() == tagged
    audio.write(str(song), _music(0.6, 8000, 1), 8000)
    assert _separate([song], tiny_checkpoint, output) == 0
    assert _parts(output, "song")[0].duration_s == 0.6


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "INPUT"),
        (["a.wav"], "needs --checkpoint"),
        (["a.wav", "--checkpoint", "/none", "--output", "/x"], "--checkpoint /none"),
        (["a.wav", "--chekpoint", "/none"], "did you mean --checkpoint"),
        (["a.wav", *NEEDED, "--hop-seconds", "4"], "--hop-seconds 4 must not be above"),
        (["a.wav", *NEEDED, "--chunk-seconds", "1e9"], "--chunk-seconds 1e+09 must not"),
        (["a.wav", *NEEDED, "--fast", "--hop-seconds", "1"], "exclude each other"),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], says: str) -> None:
    with pytest.raises(BadUsage) as caught:
        separation_command.main(arguments)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_as_a_user_runs_it(tiny_checkpoint: Path, tmp_path: Path) -> None:
    audio.write(str(tmp_path / "my song.wav"), _music(1, 44_100, 2), 44_100)
    command = [sys.executable, "-m", "stemlode", "separate", "my song.wav", "missing.wav"]
    command += ["--checkpoint", str(tiny_checkpoint), "--output", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2 and "missing.wav: no such file" in errors[0]
    assert "1 of 2 inputs" in errors[1]
    assert (tmp_path / "out" / "my song" / "accompaniment.wav").exists()


def test_names_that_break_lines_are_shown_on_one(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "a\nb\x1b[2J.wav", tmp_path / "c\nd.wav"
    audio.write(str(good), _music(1, 8000, 1), 8000)
    bad.write_bytes(b"no sound")
    with pytest.raises(Failed, match="1 of 2"):
        _separate([good, bad], tiny_checkpoint, tmp_path / "out")
    captured = capsys.readouterr()
    assert "c\\nd.wav: " in captured.err and "\x1b[2J" not in captured.err + captured.out
    assert all(line.endswith(".wav") for line in captured.out.splitlines())


def test_a_folder_without_audio_is_refused_before_the_output_is_claimed(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "music").mkdir()
    (tmp_path / "music/cover.jpg").touch()
    for asked, said in (("music", "is a folder without audio"), ("*.mp3", "matches no audio")):
        words = [str(tmp_path / asked), "--checkpoint", str(tiny_checkpoint)]
        assert cli.main(["separate", *words, "--output", str(tmp_path / "out")]) == 2
        assert f"{asked}: {said}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_folders_and_patterns_name_what_is_below_them_but_not_what_we_wrote(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    album = tmp_path / "album [live]"
    (album / "disc 1").mkdir(parents=True)
    (tmp_path / "b*").mkdir()
    for path in (album / "disc 1/one.wav", album / "two.WAV", tmp_path / "b*/three.wav"):
        soundfile.write(path, sing(3, 0.5)[0].T, RATE)
    (album / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    model = ["--checkpoint", str(tiny_checkpoint)]
    assert separation_command.main([".", *model]) == 0  # into separated/, which is below
    record = json.loads((tmp_path / "separated/run.json").read_text())
    wanted = {"album [live]/disc 1/one.wav", "album [live]/two.WAV", "b*/three.wav"}
    assert {*record["songs"].values()} == {str(tmp_path / name) for name in wanted}
    assert separation_command.main([".", *model]) == 0  # and finds nothing more
    assert json.loads((tmp_path / "separated/run.json").read_text()) == record
    asked = ["album [[]live]/**/*.[wW]*", "b*", "b*/three.wav", "*.xyz"]
    found, without = songs.named(asked, "out")
    assert without == {"*.xyz": "matches no audio file"}
    names = ["album [live]/disc 1/one.wav", "album [live]/two.WAV", "b*/three.wav"]
    assert found == [str(tmp_path / name) for name in names]
    found, without = songs.named(["missing.wav", "x" * 300], "out")
    assert found == [str(tmp_path / "missing.wav")] and "too long" in without["x" * 300]
    with pytest.raises(BadUsage, match="separated: all audio files there lie in --output"):
        songs.named(["separated"], "separated")


def test_a_store_s_folder_gives_its_songs() -> None:
    for name in ("a.flac", "deep/b.mp3", "c.txt"):
        files.write_bytes(f"memory://music/{name}", b"x")
    wanted = ["memory://music/a.flac", "memory://music/deep/b.mp3"]
    found, _ = songs.named(["memory://music", "https://127.0.0.1:9/song"], "out")
    assert [name.replace(":///", "://") for name in found] == [*wanted, "https://127.0.0.1:9/song"]


def _complex(tmp_path: Path, chunk_seconds: float) -> Path:
    recipe = registry.override(
        RECIPES["complex-unet-vocals-small"],
        {"channels": (2, 3, 4), "chunk_seconds": chunk_seconds},
    )
    folder = tmp_path / f"model {chunk_seconds:g}"
    checkpoint.save(str(folder), Checkpoint(recipe, recipe.nets(), 1))
    return folder


def test_songs_are_whole_or_in_chunks_as_the_recipe_or_the_user_says(tmp_path: Path) -> None:
    """A checkpoint of before, whose configuration lacks the field, means chunks of 3 s."""
    audio.write(str(tmp_path / "song.wav"), _music(7, 22_050, 1), 22_050, "FLOAT")
    models = {name: _complex(tmp_path, s) for name, s in (("whole", 0.0), ("chunks", 3.0))}

    def vocals(name: str, model: str, *options: str) -> bytes:
        words = [str(tmp_path / "song.wav"), "--checkpoint", str(models[model]), *options]
        assert separation_command.main([*words, "--output", str(tmp_path / name)]) == 0
        return (tmp_path / name / "song" / "vocals.wav").read_bytes()

    for name in ("whole", "chunks"):  # the same weights, for the same random numbers
        torch.manual_seed(0)
        recipe = checkpoint.load(str(models[name])).recipe
        checkpoint.save(str(models[name]), Checkpoint(recipe, recipe.nets(), 1))
    whole, chunks = vocals("a", "whole"), vocals("b", "chunks")
    assert whole != chunks
    assert vocals("c", "chunks", "--chunks", "whole") == whole
    assert vocals("d", "whole", "--chunks", "3") == chunks
    assert vocals("e", "whole", "--chunk-seconds", "3") == chunks
    assert vocals("f", "whole", "--chunks", "2") != chunks
    _, config = checkpoint.read_tensors(str(models["chunks"] / "model.safetensors"))
    del config["recipe"]["chunk_seconds"]
    assert registry.from_fields(config["recipe"]).own_chunks == Chunking(3.0)
    with pytest.raises(BadUsage, match=r"--chunk-seconds whole, not 3\.0"):
        vocals("c", "chunks")


def test_a_run_of_before_there_were_chunks_to_choose_is_complete(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio.write(str(tmp_path / "song.wav"), _music(1, 22_050, 1), 22_050, "FLOAT")
    assert _separate([tmp_path / "song.wav"], tiny_checkpoint, tmp_path / "out") == 0
    path = tmp_path / "out" / "_PLAN.json"
    plan = json.loads(path.read_text())
    assert plan["options"].pop("chunks") and plan["options"]["chunk_seconds"] == 3.0
    path.write_text(json.dumps(plan))
    capsys.readouterr()
    assert _separate([tmp_path / "song.wav"], tiny_checkpoint, tmp_path / "out") == 0
    assert "already complete" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--chunks", "whole", "--fast"], "nothing that --fast"),
        (["--chunks", "2", "--chunk-seconds", "2"], "exclude each other"),
        (["--chunks", "601"], "601"),
        (["--chunks", "0.4"], "--hop-seconds 0.5"),
    ],
)
def test_cuts_that_do_not_fit_together_are_refused(
    tiny_checkpoint: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    audio.write(str(tmp_path / "song.wav"), _music(1, 22_050, 1), 22_050, "FLOAT")
    words = [str(tmp_path / "song.wav"), "--checkpoint", str(tiny_checkpoint), *options]
    with pytest.raises(BadUsage, match=said):
        separation_command.main([*words, "--output", str(tmp_path / "out")])


def test_a_recurrent_net_takes_chunks_alone(tmp_path: Path) -> None:
    sizes = {"layers": 1, "features": 4, "hidden": 4, "mask_hidden": 4}
    recipe = registry.override(RECIPES["bsrnn-vocals-small"], sizes)
    checkpoint.save(str(tmp_path / "model"), Checkpoint(recipe, recipe.nets(), 1))
    audio.write(str(tmp_path / "song.wav"), _music(1, 22_050, 1), 22_050, "FLOAT")
    words = [str(tmp_path / "song.wav"), "--checkpoint", str(tmp_path / "model")]
    with pytest.raises(BadUsage, match="bsrnn-vocals-small takes songs in chunks alone"):
        separation_command.main([*words, "--chunks", "whole", "--output", str(tmp_path / "out")])


def _stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_standard_input_lists_what_to_separate_and_files_are_named_as_asked(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    paths = [tmp_path / "one\nline.wav", tmp_path / "two.wav", tmp_path / "songs" / "two.wav"]
    paths[2].parent.mkdir()
    for path in paths:
        audio.write(str(path), _music(0.3, 8000, 1), 8000)
    output = tmp_path / "out"
    words = ["-", "--checkpoint", str(tiny_checkpoint), "--output", str(output)]
    words += ["--name", "{stem}/{track} - {stem}.{ext}"]
    listed = b"\0".join(os.fsencode(str(path)) for path in (*paths[:2], paths[2].parent))
    _stdin(monkeypatch, listed)
    assert separation_command.main(words) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 6 and all(Path(line).is_file() for line in shown)
    assert {path.name for path in (output / "vocals").iterdir()} == {
        f"{name} - vocals.wav" for name in ("one_line", "two", "two-2")
    }
    record = json.loads((output / "run.json").read_text())
    assert sorted(record["outputs"]) == sorted(
        str(Path(line).relative_to(output)) for line in shown
    )
    assert [one["step"] for one in record["checkpoints"]] == [7]
    _stdin(monkeypatch, str(paths[1]).encode() + b"\n\n")
    assert separation_command.main(words) == 0
    assert "already complete" in capsys.readouterr().out
    again = [*words[:5], "--overwrite"]  # takes away what was named otherwise
    _stdin(monkeypatch, str(paths[1]).encode())
    assert separation_command.main(again) == 0
    assert {path.name for path in output.iterdir() if path.is_dir()} == {"two"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "lists no path"),
        (b" \n", "no path"),
        (b"RIFF\0\0", "is sound"),
        (bytes(range(32)) * 2, "is sound"),
        (b"/\0" + b"\xff" * 9999, "is sound"),
    ],
)
def test_standard_input_that_lists_nothing_is_refused(
    data: bytes, said: str, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stdin(monkeypatch, data)
    with pytest.raises(BadUsage, match=said):
        separation_command.main(["-", "--checkpoint", str(tiny_checkpoint), "--output", "/x"])
