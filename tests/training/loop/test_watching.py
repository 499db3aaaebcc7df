"""What a run shows to those who watch it: previews, the report, TensorBoard, the console."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.report import command
from stemlode.runs import BadUsage, Failed
from tests.training.conftest import TINY
from training import checkpoint, console
from training.loop import command as loop_command
from training.loop import one_batch, previews
from training.recipes.registry import RECIPES

NAMES = sorted(f"{name}.flac" for name in previews.NAMES)


def _train(corpus: Path, output: Path, *options: str, recipe: str = "unet-vocals") -> int:
    folders = ["--corpus", str(corpus), "--output", str(output)]
    return loop_command.main([recipe, *folders, *TINY, *options])


@pytest.fixture(scope="module")
def run(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps, three validations, the second one the best; watched in every way."""
    output = tmp_path_factory.mktemp("watched") / "run"
    options = ["--steps", "6", "--validate-every", "2", "--tensorboard"]
    assert _train(corpus_folder, output, *options) == 0
    return output


def test_each_validation_leaves_previews_of_valid_songs(run: Path, stems: Path) -> None:
    songs = sorted(path.name for path in (run / "previews" / "last").iterdir())
    assert songs == sorted(path.name for path in (run / "previews" / "best").iterdir())
    assert songs == [str(n) for n in range(1, len(songs) + 1)] and 1 <= len(songs) <= 3
    for kind in ("last", "best"):
        for song in songs:
            folder = run / "previews" / kind / song
            assert sorted(path.name for path in folder.iterdir()) == NAMES
            heard = {path.stem: soundfile.read(path) for path in folder.iterdir()}
            assert {rate for _, rate in heard.values()} == {8192}
            assert len({sound.shape for sound, _ in heard.values()}) == 1
            mixture, estimate, reference = (heard[name][0] for name in previews.NAMES)
            # A mask in (0, 1) of the mixture, at the song's own level; the voice is in the mixture.
            assert 0.02 < np.abs(estimate).max() < 1.5 * np.abs(mixture).max()
            assert np.abs(reference).max() > 0.05
            assert np.corrcoef(mixture, reference)[0, 1] > 0.3


def test_previews_are_outputs_of_the_run_and_shown_by_a_report(
    run: Path, stems: Path, tmp_path: Path
) -> None:
    outputs = json.loads((run / "run.json").read_text())["outputs"]
    assert "previews/best/1/estimate.flac" in outputs
    assert command.main([str(run), "--output", str(tmp_path / "page.html")]) == 0
    html = (tmp_path / "page.html").read_text()
    section = html.split('id="train"')[1].partition("</section>")[0]
    songs = len(list((run / "previews" / "best").iterdir()))
    assert section.count("<audio") == 3 * songs
    shown = [soundfile.SoundFile(p).title for p in (run / "previews/best").glob("*/estimate.flac")]
    assert {*shown} < {path.name for path in stems.iterdir()}
    assert all(name in section for name in shown) and "valid song" not in section
    assert section.count("<img") == 5 * songs  # of their spectrograms, and the mask's two
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    best = json.loads((run / "run.json").read_text())["best_step"]
    (ratio,) = [row["valid_sdr"] for row in log if row["step"] == best]
    assert f"SDR {ratio:.2f} dB on the valid split" in section
    assert "segments a second" in section
    for label in ("Mixture", "Estimate", "Reference"):
        assert f"<figcaption>{label}</figcaption>" in section


def test_overwrite_knows_what_a_run_leaves(run: Path, corpus_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    options = ["--steps", "2", "--validate-every", "2", "--tensorboard"]
    _train(corpus_folder, output, *options)
    assert _train(corpus_folder, output, *options, "--overwrite") == 0
    assert len(list((output / "tensorboard").iterdir())) == 1


def test_tensorboard_has_what_the_log_has(run: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="TensorBoard is an extra",
    )
    events = accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    for name in ("loss", "valid_loss", "valid_sdr", "learning_rate", "segments_per_s"):
        rows = [(row["step"], row[name]) for row in log if name in row]
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in rows]
        assert [value for _, value in found] == pytest.approx([value for _, value in rows])


def test_tensorboard_writes_to_local_folders_alone() -> None:
    with pytest.raises(BadUsage, match="--tensorboard: writes to local folders"):
        console.check("memory://run/tensorboard")


def test_the_console_has_loss_sdr_pace_and_what_is_left(
    corpus_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _train(corpus_folder, tmp_path / "run", "--steps", "4", "--validate-every", "2")
    lines = [line for line in capsys.readouterr().err.splitlines() if "train: step" in line]
    assert [line.partition(",")[0] for line in lines] == [
        "train: step 2 of 4",
        "train: step 4 of 4",
    ]
    for line in lines:
        for part in ("loss ", "valid ", "SDR ", " segments/s", "waits ", "utilisation ", " left"):
            assert part in line


@pytest.mark.parametrize("recipe", ["unet-vocals", "complex-unet-vocals-sdr"])
def test_one_batch_is_learnt_by_heart(
    recipe: str, corpus_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--overfit-one-batch", "--learning-rate", "0.02", "--steps", "120"]
    options += ["--hop-length", "128"]
    assert _train(corpus_folder, tmp_path / "run", *options, recipe=recipe) == 0
    assert "on one batch the loss went from" in capsys.readouterr().out
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len(log) == 120 and log[-1]["epoch"] == 0
    assert checkpoint.load(str(tmp_path / "run")).recipe.dropout == 0  # type: ignore[attr-defined]


def test_a_net_that_does_not_learn_is_told(corpus_folder: Path, tmp_path: Path) -> None:
    options = ["--overfit-one-batch", "--learning-rate", "1e-30", "--steps", "12"]
    with pytest.raises(Failed, match=r"went from .* 0 % of the way to 0; at least 50 %"):
        _train(corpus_folder, tmp_path / "run", *options)
    with pytest.raises(Failed, match="at least 50 %"):  # a rerun, which has nothing to do, too
        _train(corpus_folder, tmp_path / "run", *options)


def test_the_least_loss_is_that_of_a_perfect_estimate() -> None:
    assert RECIPES["unet-vocals"].least_loss == 0
    assert RECIPES["complex-unet-vocals-sdr"].least_loss == -1
    log = [{"loss": loss} for loss in (0.0, *[-0.6] * 10)]
    assert "it learns" in one_batch.verdict(RECIPES["complex-unet-vocals-sdr"], log)
    with pytest.raises(Failed, match="40 %"):
        one_batch.verdict(
            RECIPES["complex-unet-vocals-sdr"], [{"loss": 0.0}, *[{"loss": -0.4}] * 10]
        )
    assert math.isfinite(RECIPES["bsrnn-vocals"].least_loss)
