"""Every family from a corpus to WAV files by the command line, at a size for tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from pipelines.corpus import command
from stemlode import audio
from stemlode.runs import BadUsage
from tests.training.conftest import RATE, sing
from training import checkpoint
from training.data import examples
from training.evaluation import command as evaluation_command
from training.loop import command as loop_command
from training.loop import material
from training.recipes.registry import RECIPES
from training.separation import command as separation_command
from training.separation import separate

QUICK = ["--steps", "3", "--validate-every", "3", "--batch-size", "2", "--workers", "0"]
QUICK += ["--cache-gb", "0.01"]
COMPLEX = ["--channels", "2,3", "--n-fft", "256", "--hop-length", "64", "--patch-frames", "32"]
CWS = ["--width", "0.03", "--patch-seconds", "0.5"]
SLOW = [
    ("unet-noskip", ["--channels", "2,3,4", "--patch-frames", "16"]),
    ("complex-unet-vocals-noncomplex-small", COMPLEX),
    ("complex-unet-bass-sdrmag-small", COMPLEX),
    ("cws-unet6-k1-small", CWS),
    ("cws-mdensenet-k8-small", CWS),
    ("cws-mmdensenet-small", CWS),
]
QUICKEST = [("complex-unet-drums-sdr-small", COMPLEX), ("cws-unet5-k8-small", CWS)]
SOME = QUICKEST + [pytest.param(*one, marks=pytest.mark.slow) for one in SLOW]


@pytest.fixture(scope="module")
def bands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four multitrack songs with drums and bass."""
    root = tmp_path_factory.mktemp("bands")
    for seed in range(4):
        folder = root / f"song {seed}"
        folder.mkdir()
        vocals, accompaniment = sing(seed, 1.5)
        beat = np.sin(2 * np.pi * 60 * np.arange(vocals.shape[1]) / RATE) * np.ones((2, 1))
        stems = {"vocals": vocals, "drums": accompaniment, "bass": 0.2 * beat}
        for name, samples in stems.items():
            soundfile.write(folder / f"{name}.flac", samples.T, RATE)
    return root


@pytest.fixture(scope="module")
def shards(bands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("shards") / "corpus"
    options = ["--sample-rate", str(RATE), "--chunk-seconds", "1"]
    options += ["--split", "train=0.5,valid=0.5", "--seed", "2"]
    assert command.main(["--stems", str(bands), "--output", str(output), *options]) == 0
    return output


@pytest.mark.parametrize(("name", "options"), SOME, ids=lambda x: x if isinstance(x, str) else "")
def test_from_a_corpus_to_wav_files(
    name: str, options: list[str], bands: Path, shards: Path, tmp_path: Path
) -> None:
    model, scores, output = (str(tmp_path / part) for part in ("model", "scores", "output"))
    arguments = [name, "--corpus", str(shards), "--output", model, *QUICK, *options]
    assert loop_command.main(arguments) == 0
    trained = checkpoint.load(model)
    assert trained.recipe.family == RECIPES[name].family
    target = trained.recipe.target
    rest = {"vocals": "accompaniment"}.get(target, f"no_{target}")

    named = ["--checkpoint", model, "--fast"]
    assert evaluation_command.main([*named, "--stems", str(bands), "--output", scores]) == 0
    rows = pq.read_table(f"{scores}/songs.parquet").to_pylist()
    assert {row["source"] for row in rows} == {target, rest} and len(rows) == 8
    assert all(np.isfinite(row["usdr_estimate"]) for row in rows)
    assert all(row["usdr_oracle"] > row["usdr_mixture"] + 2 for row in rows)

    rng = np.random.default_rng(0)
    for channels in (1, 2):
        noise = rng.uniform(-0.5, 0.5, (channels, 20_001)).astype(np.float32)
        path = str(tmp_path / f"{channels}.wav")
        audio.write(path, noise, 48_000, "FLOAT")
        assert separation_command.main([path, *named, "--output", f"{output}{channels}"]) == 0
        found = {
            p.stem: audio.read(str(p)) for p in Path(f"{output}{channels}/{channels}").iterdir()
        }
        assert found.keys() == {target, rest}
        assert all(part.samples.shape == noise.shape for part in found.values())
        assert all(part.sample_rate == 48_000 for part in found.values())
        if trained.recipe.family != "cws":  # whose two nets promise nothing of their sum
            total = sum(part.samples for part in found.values())
            assert np.allclose(total, noise, atol=1e-6)


@pytest.mark.parametrize("name", ["complex-unet-drums-small", "cws-unet5-k2-small"])
def test_a_file_gives_what_the_song_in_memory_gives(name: str, tmp_path: Path) -> None:
    """Blocks of any size leave no trace, whatever nets work chunk by chunk."""
    recipe = RECIPES[name]
    trained = checkpoint.Checkpoint(recipe, recipe.nets(), 0)
    checkpoint.save(str(tmp_path / "model"), trained)
    mixture = sing(0, 5, 44_100)[0]
    audio.write(str(tmp_path / "song.wav"), mixture, 44_100, "FLOAT")
    named = ["--checkpoint", str(tmp_path / "model"), "--output", str(tmp_path / "out")]
    cut = ["--chunk-seconds", "2", "--hop-seconds", "1"]
    assert separation_command.main([str(tmp_path / "song.wav"), *named, *cut]) == 0
    loaded = checkpoint.load(str(tmp_path / "model"))
    chunking = separate.Chunking(2.0, 1.0)
    for stem, samples in separate.separate(mixture, 44_100, loaded, chunking).items():
        found = audio.read(str(tmp_path / "out" / "song" / f"{stem}.wav")).samples
        assert np.abs(found - samples).max() < 1e-4
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["counts"] == {"inputs": 1, "separated": 1, "rejected": 0}
    with pytest.raises(BadUsage, match="--chunk-seconds 2"):
        separation_command.main(
            [str(tmp_path / "song.wav"), *named, "--fast"]
        )  # other cuts, other run


@pytest.mark.parametrize(
    ("name", "options"), QUICKEST, ids=lambda x: x if isinstance(x, str) else ""
)
def test_a_killed_run_resumes_bit_by_bit(
    name: str, options: list[str], shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two nets, a decaying rate and random gains as with one net."""
    extra = ["--decay", "0.5", "--decay-every", "2", "--steps", "5", "--validate-every", "2"]

    def run(output: str) -> int:
        named = [name, "--corpus", str(shards), "--output", str(tmp_path / output)]
        return loop_command.main([*named, *QUICK, *options, *extra])

    steps = 0

    def dying(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise KeyboardInterrupt
        return examples.remix(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(material, "remix", dying)
        run("killed")
    assert run("killed") == run("whole") == 0
    weights = [
        (tmp_path / output / "checkpoint" / "model.safetensors").read_bytes()
        for output in ("killed", "whole")
    ]
    assert weights[0] == weights[1]
