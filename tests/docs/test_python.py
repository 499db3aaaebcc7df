"""The examples of docs/python.md, from top to bottom, as a reader runs them."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.docs.commands import PROJECT
from tests.training.conftest import sing
from training import checkpoint
from training.checkpoint import Checkpoint
from training.recipes import registry

EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
RATE = 16_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page takes for granted: music, songs in stems, a trained model, a song."""
    for number in range(5):
        voice, rest = sing(number, 8)
        beat = np.arange(rest.shape[1]) / RATE
        rest += 0.2 * np.sin(2 * np.pi * 55 * beat) * (np.sin(2 * np.pi * 2.1 * beat) > 0)
        song = tmp_path / "stems" / f"song {number}"
        song.mkdir(parents=True)
        soundfile.write(song / "vocals.wav", voice.T, RATE)
        soundfile.write(song / "accompaniment.wav", rest.T, RATE)
        (tmp_path / "music" / f"artist {number}").mkdir(parents=True)
        for title, sound in (("Song", voice + rest), ("Song (Instrumental)", rest)):
            name = tmp_path / "music" / f"artist {number}" / f"Artist {number} - {title}.wav"
            soundfile.write(name, sound.T, RATE)
    soundfile.write(tmp_path / "song.wav", np.sum(sing(9, 2), axis=0).T, RATE)
    torch.manual_seed(0)
    recipe = registry.override(registry.RECIPES["unet-vocals"], {"channels": (2, 3, 4)})
    trained = Checkpoint(recipe, recipe.core(), 1, {"valid_loss": 1.0})
    checkpoint.save(str(tmp_path / "model"), trained)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_examples_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples = EXAMPLE.findall((PROJECT / "docs" / "python.md").read_text(encoding="utf-8"))
    assert len(examples) >= 6
    names: dict[str, object] = {"__name__": "__main__"}
    for example in examples:
        exec(compile(example, "docs/python.md", "exec"), names)
    said = capsys.readouterr().out
    assert re.search(r"[1-9] of 5 pairs are kept", said), said
    assert "did you mean tolerance?" in said and "torch.Size([2, 2, 8000]) 0 2" in said
    assert (folder / "report.html").exists() and (folder / "scores" / "songs.parquet").exists()
