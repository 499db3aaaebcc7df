"""Chapter 5's recipes: what is learnt, from what, and with which weights, as a user trains them."""

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from torch import Tensor

from stemlode import audio, cli
from stemlode.shards import salience
from stemlode.shards.salience import HOP_LENGTH, ROWS, SAMPLE_RATE
from tests.training.conftest import RATE, sing
from tests.training.salience_folder import write_salience
from training import checkpoint
from training.data import examples, windows
from training.data.examples import Batch
from training.data.windows import Window
from training.loop import balance, command, material
from training.models import spectrogram
from training.models.joint import WIRINGS
from training.recipes import masking, registry
from training.recipes.joint import JointRecipe
from training.recipes.registry import RECIPES

TINY = {"channels": (2, 2, 2), "patch_frames": 16}
QUICK = "--channels 2,2,2 --patch-frames 16 --batch-size 2 --steps 4 --validate-every 2 "
QUICK += "--log-every 1 --workers 0 --cache-gb 0.01 --learning-rate 0.01"


def _recipe(wiring: str, /, **changes: Any) -> JointRecipe:
    recipe = registry.override(RECIPES[f"joint-{wiring}"], TINY | changes)
    assert isinstance(recipe, JointRecipe)
    return recipe


def _given(recipe: JointRecipe) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(0)
    mixture = torch.randn(2, 1, recipe.patch_samples, generator=random) * 0.01
    salient = torch.rand(2, ROWS, recipe.patch_frames, generator=random)
    return mixture, mixture * 0.3, torch.tensor([False, False]), salient


def test_numbers_of_the_thesis() -> None:
    for wiring in WIRINGS:
        recipe = RECIPES[f"joint-{wiring}"]
        assert isinstance(recipe, JointRecipe)
        assert (recipe.sample_rate, recipe.n_fft, recipe.hop_length) == (22_050, 1024, 256)
        assert (recipe.learning_rate, recipe.beta1, recipe.target) == (2e-4, 0.5, "vocals")
        assert recipe.patch_samples == 128 * 256 and not recipe.summed and recipe.levelled
        small = RECIPES[f"joint-{wiring}-small"]
        assert isinstance(small, JointRecipe) and small.wiring == wiring
        assert small.channels == (4, 8, 16, 32, 64, 128)


@pytest.mark.parametrize("wiring", WIRINGS)
def test_losses_are_means_of_equations_5_2_to_5_4(wiring: str) -> None:
    torch.manual_seed(0)
    recipe = _recipe(wiring)
    nets, given = recipe.nets().eval(), _given(recipe)
    X, Y = recipe.magnitudes(*given[:3])
    S = torch.zeros_like(X)
    S[:, 0, :ROWS] = given[3]
    heard = nets.hear(X, Y, S)
    wanted = {}
    if heard.vocals is not None:
        wanted["vocals"] = (heard.vocals - Y).abs().mean((1, 2, 3))
    if heard.salience is not None:
        wanted["salience"] = (heard.salience - S)[:, :, :ROWS].square().mean((1, 2, 3))
    judged = recipe.judge_given(nets, *given)
    for name, term in wanted.items():
        assert torch.allclose(judged.terms[name], term)
    learnt = [wanted[name] for name in nets.learns]
    assert torch.allclose(judged.loss, torch.stack(learnt).sum(0))
    assert {"vocals", "salience"} & judged.terms.keys() == wanted.keys()
    assert set(nets.learns) == {name for name, term in judged.terms.items() if term.requires_grad}


def test_first_estimates_are_told_and_learnt_from_where_asked() -> None:
    for supervised in (False, True):
        torch.manual_seed(0)
        recipe = _recipe("stacked-refinement", supervise_first=supervised)
        judged = recipe.judge_given(recipe.nets(), *_given(recipe))
        names = ("vocals", "salience", "first_vocals", "first_salience")
        assert set(judged.terms) == set(names)
        learnt = names if supervised else names[:2]
        total = sum(judged.terms[name] for name in learnt)
        assert isinstance(total, Tensor) and torch.allclose(judged.loss, total)
        assert {n for n in names if judged.terms[n].requires_grad} == set(learnt)


def test_weights_of_the_losses_count() -> None:
    torch.manual_seed(0)
    recipe = _recipe("source-to-pitch", vocals_weight=3.0, salience_weight=0.5)
    judged = recipe.judge_given(recipe.nets(), *_given(recipe))
    assert torch.allclose(judged.loss, 3 * judged.terms["vocals"] + 0.5 * judged.terms["salience"])


def test_fresh_nets_begin_at_the_prior_and_old_recipes_at_a_half() -> None:
    new = _recipe("pitch-only")
    fields = registry.to_fields(new)
    fields.pop("salience_prior")  # as in a config.json from before there was it
    for recipe, wanted in ((new, 0.005), (registry.from_fields(fields), 0.5)):
        torch.manual_seed(0)
        nets, given = recipe.nets(), torch.rand(1, 1, recipe.n_fft // 2, 16)
        assert float(recipe.salience(nets, given).mean()) == pytest.approx(wanted, rel=0.5)


def test_the_gradients_of_the_losses_are_compared() -> None:
    torch.manual_seed(0)
    recipe = _recipe("source-to-pitch")
    nets, given = recipe.nets().eval(), _given(recipe)
    before = {name: tensor.clone() for name, tensor in nets.state_dict().items()}
    drawn = torch.get_rng_state()
    with torch.no_grad():
        found = balance.gradient_norms(recipe, nets.train(), given)
    assert nets.training and torch.equal(torch.get_rng_state(), drawn)
    nets.eval()
    for name in ("vocals", "salience"):
        nets.zero_grad()
        recipe.judge_given(nets, *given).terms[name].mean().backward()
        held = [p.grad.norm() for p in nets.parameters() if p.grad is not None]
        assert found[f"gradient_norm_{name}"] == pytest.approx(float(torch.stack(held).norm()))
    ratio = found["gradient_norm_vocals"] / found["gradient_norm_salience"]
    assert found["gradient_ratio"] == pytest.approx(ratio)
    assert all(torch.equal(before[name], held) for name, held in nets.state_dict().items())
    assert balance.gradient_norms(_recipe("pitch-only"), _recipe("pitch-only").nets(), given) == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wiring": "star"}, "wiring is 'star'"),
        ({"merge": "sum"}, "merge is 'sum'"),
        ({"second_mask": "both"}, "second_mask is 'both'"),
        ({"salience_prior": 1.0}, r"salience_prior is 1.0; it must lie in \(0, 1\)"),
        ({"target": "drums"}, "target is 'drums'"),
        ({"sample_rate": 44_100}, "sample_rate is 44100; salience lies on a grid of 22050"),
        ({"hop_length": 128}, "hop_length is 128; salience lies on a grid of 256"),
        ({"n_fft": 512}, "n_fft is 512; its half must hold the salience's 360 rows"),
    ],
)
def test_a_value_that_cannot_be_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _recipe("source-to-pitch", **change)


def test_pieces_of_a_window_begin_on_frames() -> None:
    """A column of salience and the samples around its centre stay together."""
    frames = 50
    numbers = torch.arange(frames * HOP_LENGTH - 100).float()[None]
    marks = torch.arange(frames, dtype=torch.uint8).repeat(ROWS, 1)
    whole = Window("id", "song", numbers, numbers, False, salience=marks, hop=HOP_LENGTH)
    import random

    cut = [windows.cut(whole, 8 * HOP_LENGTH, random.Random(seed)) for seed in range(20)]
    for piece in [*cut, *windows.pieces(whole, 8 * HOP_LENGTH)]:
        assert piece.salience is not None and piece.salience.shape == (ROWS, 8)
        assert int(piece.mixture[0, 0]) == int(piece.salience[0, 0]) * HOP_LENGTH
        assert piece.mixture.shape[1] == 8 * HOP_LENGTH
    assert len({int(piece.mixture[0, 0]) for piece in cut}) > 5


def test_salience_goes_with_the_target_it_is_of() -> None:
    """In remixed batches the k-th target's salience is k, wherever it went."""
    torch.manual_seed(3)
    recipe = _recipe("source-to-pitch", remix_db=1e-9)
    levels = torch.arange(1, 9).float()
    targets = levels[:, None, None].expand(8, 1, 64)
    saliences = levels[:, None, None].expand(8, ROWS, 2) / 10
    batch = Batch(list("abcdefgh"), targets + 100, targets, torch.zeros(8) > 0, salience=saliences)
    mixed = examples.remix(batch, recipe)
    assert mixed.salience is not None
    assert torch.allclose(mixed.reference[:, 0, 0], 10 * mixed.salience[:, 0, 0], atol=1e-5)
    assert not torch.equal(mixed.reference, batch.reference)
    for part in examples.parts_of(mixed, 3):
        assert part.salience is not None and len(part.salience) == len(part.mixture)


def rising(corpus: Path, folder: Path) -> Path:
    """Salience of songs whose f0 rises by a row each frame; a tenth of the samples have none."""
    return write_salience(
        corpus, folder, lambda frame: {frame % ROWS: 1.0}, without=lambda number: number % 10 == 9
    )


@pytest.fixture(scope="module")
def beside(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rising(corpus_folder, tmp_path_factory.mktemp("salience") / "salience")


def _run(*words: str | Path) -> int:
    return cli.main([str(word) for word in words])


def _log(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(
    corpus_folder: Path, beside: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Runs of some of the ten, by wiring."""
    root, found = tmp_path_factory.mktemp("joint"), {}
    for wiring in ("source-only", "source-to-pitch", "pitch-only"):
        more = [] if wiring == "source-only" else ["--salience", beside]
        words = ["train", f"joint-{wiring}-small", "--corpus", corpus_folder, *QUICK.split(), *more]
        found[wiring] = root / wiring
        assert _run(*words, "--output", found[wiring]) == 0
    return found


def test_it_is_trained_and_both_losses_are_told(trained: dict[str, Path]) -> None:
    log = _log(trained["source-to-pitch"])
    for row in log:
        assert row["loss"] == pytest.approx(row["loss_vocals"] + row["loss_salience"])
    last = log[-1]
    wanted = {"valid_loss_vocals", "valid_loss_salience", "valid_sdr", "gradient_ratio"}
    assert wanted <= last.keys() and last["gradient_norm_salience"] > 0
    only = _log(trained["pitch-only"])[-1]
    assert "valid_loss_salience" in only and not {"valid_sdr", "gradient_ratio"} & only.keys()
    assert not list(trained["pitch-only"].glob("previews/**/*.flac"))
    assert list(trained["source-to-pitch"].glob("previews/**/*.flac"))
    record = json.loads((trained["pitch-only"] / "run.json").read_text())
    assert record["counts"]["samples_train"] + record["counts"]["samples_valid"] > 0
    assert "salience" in record["inputs"]


def test_what_it_learns_is_on_its_column(corpus_folder: Path, beside: Path) -> None:
    """The f0 of `rising` is the song's frame, so patches tell where they lie in the song,
    and so do their samples."""
    from training.data import corpus
    from training.data.corpus import Windows
    from training.data.salience import learnt_beside, open_salience

    recipe = _recipe("source-to-pitch")
    data = corpus.open_corpus(str(corpus_folder))
    learnt = learnt_beside(data, open_salience(str(beside), data))
    rows = {row["sample_id"]: row for row in learnt.index.to_pylist()}
    assert 0 < len(rows) < data.index.num_rows
    whole = {w.sample_id: w for w in Windows(data, "train", recipe) if isinstance(w, Window)}
    seen = 0
    for window in Windows(learnt, "train", recipe, crop=True, seed=1):
        assert isinstance(window, Window) and window.salience is not None
        frame = int(window.salience[:, 0].argmax())
        start = round(frame * HOP_LENGTH - rows[window.sample_id]["start_s"] * SAMPLE_RATE)
        there = whole[window.sample_id].mixture[:, start : start + recipe.patch_samples]
        padded = torch.zeros_like(window.mixture)
        padded[:, : there.shape[1]] = there
        assert torch.equal(window.mixture, padded)
        seen += 1
    assert seen == sum(row["split"] == "train" for row in rows.values())


def test_worker_processes_send_what_is_read_without_them(corpus_folder: Path, beside: Path) -> None:
    from training.data import corpus
    from training.data.corpus import Windows
    from training.data.salience import learnt_beside, open_salience

    recipe = _recipe("source-to-pitch")
    data = corpus.open_corpus(str(corpus_folder))
    learnt = learnt_beside(data, open_salience(str(beside), data))
    found = []
    for workers in (0, 1):
        windows_of = Windows(learnt, "train", recipe, crop=True, seed=1)
        found.append(list(corpus.loader(windows_of, workers)))
    for here, sent in zip(*found, strict=True):
        assert isinstance(here, Window) and isinstance(sent, Window)
        assert here.salience is not None and sent.salience is not None
        assert torch.equal(here.salience, sent.salience)
        assert torch.equal(here.mixture, sent.mixture)


def test_it_separates_and_its_mask_is_exported(trained: dict[str, Path], tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    mixture = sum(sing(70, 2, 44_100))
    audio.write(str(song), mixture, 44_100, "FLOAT")
    named = ["--checkpoint", trained["source-to-pitch"], "--output", tmp_path / "out"]
    assert _run("separate", song, *named) == 0
    parts = {path.stem: soundfile.read(path)[0].T for path in (tmp_path / "out/song").iterdir()}
    assert parts.keys() == {"vocals", "accompaniment"} and parts["vocals"].std() > 1e-4
    assert abs(sum(parts.values()) - mixture).max() < 1e-5
    net = tmp_path / "net.onnx"
    assert _run("export", trained["source-to-pitch"], "--output", net) == 0
    facts = json.loads((tmp_path / "net.json").read_text())
    assert (facts["sources"], facts["hop"], facts["bins"]) == (["vocals"], 256, 512)
    assert facts["salience"]["rows"] == 360


@pytest.mark.parametrize("wiring", ["source-to-pitch", "pitch-only"])
def test_it_hears_pitch_in_a_file(wiring: str, trained: dict[str, Path], tmp_path: Path) -> None:
    seconds, rate = 2.0, 44_100
    song = tmp_path / "song.wav"
    audio.write(str(song), sum(sing(70, seconds, rate)), rate, "FLOAT")
    named = ["--checkpoint", trained[wiring], "--output", tmp_path / "out"]
    assert _run("pitch", song, *named, "--voices", "many") == 0
    lines = (tmp_path / "out/song/f0.csv").read_text().splitlines()
    assert len(lines) == 1 + salience.frame_count(round(seconds * SAMPLE_RATE))
    rows = [list(map(float, line.split(","))) for line in lines[1:]]
    assert all(abs(f0) > 32 and 0 < confidence < 1 for _, f0, confidence in rows)
    assert (tmp_path / "out/song/f0s.tsv").exists()
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["options"]["teacher"] == f"joint-{wiring}-small"


def test_what_hears_no_pitch_says_so(
    trained: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = _recipe("oracle-vocals")
    oracle = tmp_path / "oracle"
    checkpoint.save(str(oracle), checkpoint.Checkpoint(recipe, recipe.core(), 1))
    for net, said in (
        (trained["source-only"], "joint-source-only-small hears no pitch"),
        (oracle, "joint-oracle-vocals is an oracle, which must be told the vocals"),
    ):
        assert _run("pitch", "x.wav", "--checkpoint", net, "--output", tmp_path / "out") == 2
        assert said in capsys.readouterr().err


def test_a_net_of_pitch_alone_does_not_separate(
    trained: dict[str, Path], stems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained["pitch-only"]
    song = next(stems.rglob("vocals.flac"))
    calls = [
        ["separate", song, "--checkpoint", run, "--output", tmp_path / "a"],
        ["evaluate", "--stems", stems, "--checkpoint", run, "--output", tmp_path / "b"],
    ]
    for words in calls:
        assert _run(*words) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1 and "joint-pitch-only-small separates no mixtures" in said[0]


def test_salience_is_asked_for_in_one_line(
    corpus_folder: Path, beside: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "joint-pitch-only-small", "--corpus", corpus_folder, "--output"]
    assert _run(*words, tmp_path / "run", *QUICK.split()) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and "needs --salience DIR, where `stemlode salience --corpus" in said[0]
    words[1] = "joint-source-only-small"
    assert _run(*words, tmp_path / "run", *QUICK.split(), "--salience", beside) == 2
    assert "does not learn from pitch" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_separately_trained_nets_begin_with_the_first_and_leave_it(
    trained: dict[str, Path],
    corpus_folder: Path,
    beside: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["train", "joint-separately-trained-small", "--corpus", corpus_folder]
    words += ["--salience", beside, *QUICK.split()]
    assert _run(*words, "--output", tmp_path / "none") == 2
    assert "needs --from CHECKPOINT, one that holds the net called source" in (
        capsys.readouterr().err
    )
    named = ["--from", trained["pitch-only"], "--output", tmp_path / "none"]
    assert _run(*words, *named) == 2
    said = capsys.readouterr().err
    assert "joint-pitch-only-small and holds no source.encoder.0.0.weight" in said

    steps = 0

    def dying(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise KeyboardInterrupt
        return examples.remix(*arguments)

    words += ["--from", trained["source-only"], "--remix-db", "3", "--ema-decay", "0.5"]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(material, "remix", dying)
        command.main([str(word) for word in (*words[1:], "--output", tmp_path / "killed")])
    for name in ("killed", "whole"):
        assert _run(*words, "--output", tmp_path / name) == 0
    held = [
        (tmp_path / name / "checkpoint/model.safetensors").read_bytes()
        for name in ("killed", "whole")
    ]
    assert held[0] == held[1]
    found = checkpoint.load(str(tmp_path / "whole")).core.state_dict()
    first = checkpoint.load(str(trained["source-only"])).core.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in first.items())
    last = _log(tmp_path / "whole")[-1]
    assert last["loss"] == pytest.approx(last["loss_salience"]) and last["loss_vocals"] > 0


def _heard_whole(recipe: JointRecipe, nets: Any, signals: dict[str, Tensor]) -> Any:
    """What a network makes of a song whose frames it sees all at once."""
    peak = spectrogram.stft(signals["signal"], recipe.n_fft, recipe.hop_length).abs().max()
    X, Y = (
        spectrogram.drop_bin(spectrogram.stft(part, recipe.n_fft, recipe.hop_length).abs()) / peak
        for part in (signals["signal"], signals["vocals"])
    )
    S = torch.zeros_like(X)
    S[:, :ROWS, : signals["salience"].shape[1]] = signals["salience"]
    return nets.hear(X[None], Y[None], S[None])


@pytest.mark.parametrize("wiring", ["oracle-vocals", "oracle-pitch", "stacked-refinement"])
def test_a_song_is_heard_piece_by_piece_as_if_whole(
    wiring: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    recipe = _recipe(wiring)
    nets = recipe.nets().eval()
    monkeypatch.setattr(masking, "PIECE_FRAMES", 64)
    samples = 300 * recipe.kind.depth * HOP_LENGTH + 100
    signals = {"signal": torch.randn(1, samples) * 0.1, "vocals": torch.randn(1, samples) * 0.1}
    signals["salience"] = torch.rand(ROWS, salience.frame_count(samples))
    told = {name: signals[name] for name in recipe.told}
    with torch.inference_mode():
        whole = _heard_whole(recipe, nets, signals)
    if recipe.hears:
        blocks = list(recipe.hear(nets, signals["signal"], **told))
        found = torch.cat(blocks, dim=1)
        assert len(blocks) > 1 and found.shape == (ROWS, 1 + salience.frame_count(samples))
        assert torch.allclose(found, whole.salience[0, 0, :ROWS], atol=1e-4)
    if wiring == "oracle-pitch":
        vocals = torch.cat(list(recipe.separate_told(nets, signals["signal"], **told)), dim=1)
        spectrum = spectrogram.stft(signals["signal"], recipe.n_fft, recipe.hop_length)
        masked = spectrum * spectrogram.restore_bin(whole.mask[0])
        wanted = spectrogram.istft(masked, recipe.n_fft, recipe.hop_length, samples)
        assert vocals.shape == (1, samples) and torch.allclose(vocals, wanted, atol=1e-4)
    if recipe.told:
        with pytest.raises(ValueError, match=f"must be told the {recipe.told[0]}"):
            list(recipe.hear(nets, signals["signal"]))


@pytest.mark.slow
@pytest.mark.parametrize("wiring", WIRINGS)
def test_every_network_is_trained(
    wiring: str, trained: dict[str, Path], corpus_folder: Path, beside: Path, tmp_path: Path
) -> None:
    words = ["train", f"joint-{wiring}-small", "--corpus", corpus_folder, *QUICK.split()]
    words += ["--salience", beside] if RECIPES[f"joint-{wiring}"].needs_salience else []
    words += ["--from", trained["source-only"]] if wiring == "separately-trained" else []
    assert _run(*words, "--output", tmp_path / "run") == 0
    assert checkpoint.load(str(tmp_path / "run")).recipe.name == f"joint-{wiring}-small"


@pytest.mark.slow
def test_the_largest_learns_a_batch_by_heart_at_full_width(
    corpus_folder: Path, beside: Path, tmp_path: Path
) -> None:
    """39,293,652 parameters; exit status 1 where the loss stays above half of what it was."""
    words = ["train", "joint-stacked-refinement", "--corpus", corpus_folder, "--salience", beside]
    words += ["--overfit-one-batch", "--batch-size", "2", "--steps", "40", "--patch-frames", "64"]
    words += ["--workers", "0", "--cache-gb", "0.01", "--learning-rate", "0.001"]
    assert _run(*words, "--output", tmp_path / "run") == 0
    log = _log(tmp_path / "run")
    assert all(log[-1][f"loss_{name}"] < log[0][f"loss_{name}"] for name in ("vocals", "salience"))


def test_the_stft_of_a_patch_is_that_of_the_song() -> None:
    """Frame t of a patch is centred on its sample 256 t, as the salience is."""
    recipe = _recipe("source-to-pitch")
    signal = torch.zeros(1, 1, recipe.patch_samples)
    signal[..., 5 * HOP_LENGTH] = 1
    X = spectrogram.stft(signal, recipe.n_fft, recipe.hop_length).abs()
    assert int(X.sum(-2).argmax()) == 5
    assert recipe.sample_rate == SAMPLE_RATE and RATE != SAMPLE_RATE
