"""The band-split RNN: its parameters, its equality with a plain loop over bands, its recipes."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from tests.training.models.plain_bsrnn import PlainBSRNN, copy_weights
from training.models import bsrnn_bands
from training.models.bsrnn import BSRNN
from training.models.bsrnn_bands import SCHEMES
from training.recipes import bsrnn
from training.recipes.bsrnn import BSRNNRecipe
from training.recipes.chunks import Chunking

RECIPES = {recipe.name: recipe for recipe in bsrnn.RECIPES}
SPLITS = [f"vocals-v{version}" for version in range(1, 8)] + ["bass", "drum", "other"]


def _pair(scheme: str) -> tuple[PlainBSRNN, BSRNN]:
    """A plain core with random weights, also of its normalisations, and a batched one with them."""
    torch.manual_seed(0)
    sizes = (bsrnn_bands.widths(SCHEMES[scheme], 2048, 44_100), 8, 2, 12, 20)
    plain, batched = PlainBSRNN(*sizes), BSRNN(*sizes)
    for parameter in plain.parameters():
        if parameter.dim() == 1:
            nn.init.uniform_(parameter, -1, 1)
    copy_weights(plain, batched)
    return plain, batched


@pytest.mark.parametrize("name", SPLITS)
def test_the_paper_s_parameters(name: str) -> None:
    recipe = RECIPES[f"bsrnn-{name}"]
    assert isinstance(recipe, BSRNNRecipe)
    with torch.device("meta"):
        core = recipe.core()
        widths = recipe.widths
        plain = PlainBSRNN(widths, 128, 12, 256, 512)
    count = sum(parameter.numel() for parameter in core.parameters())
    assert count == 22_924_552 + 66_432 * len(widths)
    assert count == sum(parameter.numel() for parameter in plain.parameters())


def test_v7_and_its_lstms() -> None:
    with torch.device("meta"):
        core = RECIPES["bsrnn-vocals"].core()
    assert isinstance(core, BSRNN)
    assert sum(parameter.numel() for parameter in core.parameters()) == 25_648_264
    lstms = [core.over_time, core.over_bands]
    assert sum(parameter.numel() for part in lstms for parameter in part.parameters()) == 20_554_752


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("frames", [1, 17])
def test_batched_bands_equal_a_plain_loop(scheme: str, frames: int) -> None:
    plain, batched = _pair(scheme)
    spectrum = torch.randn(2, 2, 1025, frames) * 10
    wanted, found = plain(spectrum), batched(spectrum)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(wanted)
    (wanted * weights).mean().backward()
    (found * weights).mean().backward()
    mirrored = BSRNN(*(bsrnn_bands.widths(SCHEMES[scheme], 2048, 44_100), 8, 2, 12, 20))
    for theirs in plain.parameters():  # the gradients take the place of the weights
        theirs.data.copy_(theirs.grad)
    copy_weights(plain, mirrored)
    for (name, wanted_gradient), mine in zip(
        mirrored.named_parameters(), batched.parameters(), strict=True
    ):
        torch.testing.assert_close(mine.grad, wanted_gradient.data, rtol=1e-4, atol=1e-6, msg=name)


def test_the_gradient_with_respect_to_the_input_is_right() -> None:
    plain, batched = _pair("v7")
    gradients = []
    for core in (plain, batched):
        spectrum = torch.linspace(-3, 3, 2 * 1025 * 9).sin().view(1, 2, 1025, 9).requires_grad_()
        core(spectrum).square().sum().backward()
        gradients.append(spectrum.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)


def test_items_of_a_batch_do_not_touch() -> None:
    _, batched = _pair("v4")
    spectrum = torch.randn(3, 2, 1025, 11)
    alone = torch.cat([batched(item[None]) for item in spectrum])
    torch.testing.assert_close(batched(spectrum), alone, rtol=1e-5, atol=1e-5)


def _normalising(norm: str, frames: int = 40) -> tuple[BSRNN, Tensor]:
    torch.manual_seed(0)
    net = BSRNN(bsrnn_bands.widths(SCHEMES["v7"], 2048, 44_100), 8, 1, 8, 16, norm)
    return net, torch.randn(2, 2, 1025, frames)


def test_over_a_band_and_time_is_what_group_normalisation_does() -> None:
    """Of each band's values and frames together, with a weight for each value; so is the mask's."""
    net, spectrum = _normalising("band")
    for parameter in (net.split.norm_weight, net.split.norm_bias):
        nn.init.uniform_(parameter, -1, 1)
    widths = bsrnn_bands.widths(SCHEMES["v7"], 2048, 44_100)
    first = 0
    found = net.split(spectrum)
    for number, width in enumerate(widths):
        band = spectrum.split(widths, dim=2)[number].permute(0, 2, 1, 3).flatten(1, 2)
        rows = slice(first, first + 2 * width)
        weight, bias = net.split.norm_weight[rows], net.split.norm_bias[rows]
        normal = nn.functional.group_norm(band, 1, weight, bias, 1e-5).transpose(1, 2)
        wanted = normal @ net.split.weight[rows] + net.split.bias[number]
        torch.testing.assert_close(found[:, number], wanted, rtol=1e-4, atol=1e-4)
        first += 2 * width


def test_frame_by_frame_a_band_loses_its_level_over_time() -> None:
    """Random levels within ±20 dB, frame by frame: what the split and the mask still know of them.

    Bands of two or three bins have four or six values a frame."""
    levels = 10 ** (torch.rand(40, generator=torch.Generator().manual_seed(1)) * 2 - 1)
    kept = {}
    for norm in ("frame", "band"):
        net, spectrum = _normalising(norm)
        before, after = (net.split(s).detach() for s in (spectrum, spectrum * levels))
        kept[norm] = float((after - before).square().mean().sqrt() / before.square().mean().sqrt())
    assert kept["frame"] < 0.01 and kept["band"] > 0.3


@pytest.mark.parametrize("norm", ["band", "frame"])
def test_any_number_of_frames_will_do(norm: str) -> None:
    net, spectrum = _normalising(norm)
    for frames in (1, 7, 40):
        assert net(spectrum[..., :frames]).shape == (2, 2, 1025, frames)
    torch.testing.assert_close(net(spectrum)[:1], net(spectrum[:1]), rtol=1e-4, atol=1e-5)


def test_a_net_that_normalises_over_time_separates_in_chunks_of_the_training_length() -> None:
    recipe = dataclasses.replace(
        RECIPES["bsrnn-vocals-small"], norm="band", layers=1, features=4, hidden=4, mask_hidden=4
    )
    nets, lengths = recipe.core().eval(), []
    nets.register_forward_pre_hook(lambda _, given: lengths.append(given[0].shape[-1]))
    frames = 1 + -(-recipe.patch_samples // recipe.hop_length)
    song = 0.1 * torch.randn(2, recipe.sample_rate * 4)
    with torch.inference_mode():
        found = torch.cat(list(recipe.separate(nets, song, Chunking(hop_seconds=3.0))), dim=-1)
        assert found.shape == (1, *song.shape) and set(lengths) == {frames}
        labelled = recipe.estimate_songs(nets, song[None])
        assert labelled.shape == (1, 1, *song.shape) and set(lengths) == {frames}
        short = song[:, :50_000]
        (alone,) = recipe.separate(nets, short, Chunking())
        torch.testing.assert_close(alone, recipe.estimate(nets, short[None])[0], rtol=0, atol=1e-5)


def test_silence_and_loud_input_stay_finite() -> None:
    _, batched = _pair("drum")
    for level in (0.0, 1e-12, 1e6):
        spectrum = (torch.randn(1, 2, 1025, 5) * level).requires_grad_()
        mask = batched(spectrum)
        mask.sum().backward()
        assert torch.isfinite(mask).all() and torch.isfinite(spectrum.grad).all()


def test_bf16_changes_little_and_adds_up_in_float32() -> None:
    _, batched = _pair("v7")
    spectrum = torch.randn(1, 2, 1025, 9)
    wanted = batched(spectrum)
    with torch.autocast("cpu", torch.bfloat16):
        z = batched.split(spectrum)
        for layer in batched.over_time:
            z = layer(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        found = batched(spectrum)
    assert z.dtype == torch.float32 and found.dtype == torch.bfloat16
    error = (found.float() - wanted).detach().square().mean()
    assert float(error / wanted.detach().square().mean()) < 1e-3
    found.float().square().mean().backward()
    gradients = [parameter.grad for parameter in batched.parameters()]
    assert all(g is not None and g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


class _Fixed(nn.Module):
    """A core whose mask is the same everywhere."""

    def __init__(self, real: float) -> None:
        super().__init__()
        self.real = real

    def forward(self, spectrum: Tensor) -> Tensor:
        mask = torch.zeros_like(spectrum)
        mask[:, 0] = self.real
        return mask


@pytest.mark.parametrize("samples", [1, 511, 44_100, 50_001])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_identity_mask_gives_the_mixture_at_any_length(samples: int, channels: int) -> None:
    recipe = RECIPES["bsrnn-vocals-small"]
    mixture = torch.randn(2, channels, samples)
    found = recipe.estimate(_Fixed(1.0), mixture)
    assert found.shape == (2, 1, channels, samples)
    torch.testing.assert_close(found[:, 0], mixture, rtol=0, atol=1e-5)


def test_the_loss_is_the_mean_absolute_error_of_both_domains() -> None:
    recipe = RECIPES["bsrnn-vocals-small"]
    assert isinstance(recipe, BSRNNRecipe)
    mixture, target = torch.randn(2, 2, 2, 20_000)
    exact = torch.zeros(2, dtype=torch.bool)
    losses = recipe.losses(_Fixed(0.5), mixture, target, exact)
    wave = 0.5 * mixture - target
    hop = recipe.hop_length
    padded = torch.nn.functional.pad(wave, (0, -20_000 % hop)).flatten(0, 1)
    window, constant = torch.hann_window(2048), "constant"
    spectrum = torch.stft(
        padded, 2048, hop, window=window, pad_mode=constant, return_complex=True
    ).unflatten(0, (2, 2))
    parts = (spectrum.real, spectrum.imag, wave)
    wanted = sum(part.abs().flatten(1).mean(1) for part in parts)
    torch.testing.assert_close(losses, wanted, rtol=1e-4, atol=1e-5)
    # The accompaniment and a mark that it is, in place of the target, mean the same.
    torch.testing.assert_close(
        recipe.losses(_Fixed(0.5), mixture, mixture - target, ~exact), losses, rtol=1e-4, atol=1e-5
    )


def test_numbers_of_the_paper() -> None:
    recipe = RECIPES["bsrnn-vocals"]
    assert isinstance(recipe, BSRNNRecipe)
    assert recipe.widths == RECIPES["bsrnn-vocals-v7"].widths  # type: ignore[attr-defined]
    assert (recipe.sample_rate, recipe.n_fft, recipe.hop_length) == (44_100, 2048, 512)
    assert (recipe.features, recipe.layers, recipe.hidden, recipe.mask_hidden) == (
        128,
        12,
        256,
        512,
    )
    assert recipe.batch_size == 2 * 8 and recipe.learning_rate == 1e-3
    assert recipe.steps == 100 * 10_000 and recipe.validate_every == 10_000
    assert recipe.learning_rate_after(19_999) == 1e-3
    assert recipe.learning_rate_after(40_000) == pytest.approx(1e-3 * 0.98**2)
    assert (recipe.clip_norm, recipe.patience) == (5, 10)
    assert (recipe.patch_samples, recipe.gain_db, recipe.drop) == (3 * 44_100, 10, 0.1)


def test_every_recipe_has_a_small_sibling_that_estimates_the_same() -> None:
    for name in [f"bsrnn-{split}" for split in [*SPLITS, "vocals"]]:
        large, small = RECIPES[name], RECIPES[f"{name}-small"]
        assert (small.target, small.widths) == (large.target, large.widths)  # type: ignore[attr-defined]
        assert sum(p.numel() for p in small.core().parameters()) < 2_000_000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bands", (1000, 300)),
        ("bands", (100_000, 1)),
        ("hop_length", 2000),
        ("n_fft", 2047),
        ("drop", 1.0),
        ("norm", "batch"),
        ("others", ("vocals",)),
        ("others", ("../etc",)),
    ],
)
def test_a_field_that_cannot_be_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(RECIPES["bsrnn-vocals"], **{field: value})


def test_a_song_is_copied_once_into_each_recurrence_and_once_from_time_to_bands() -> None:
    """Nets of 24 recurrent layers are bound by their many small operations."""
    x, size = torch.randn(2, 2, 65, 20), 2 * 11 * 20 * 16  # of what the layers hand on

    def copies(layers: int) -> int:
        net = BSRNN([4] * 10 + [25], 16, layers, 16, 16)
        seen = profile(activities=[ProfilerActivity.CPU], record_shapes=True)
        with torch.no_grad(), seen:
            net(x)
        shapes = [event.input_shapes for event in seen.events() if event.name == "aten::clone"]
        return sum(math.prod(shape[0]) == size for shape in shapes)

    assert copies(2) - copies(1) == 3
