"""The networks of figures 5.3 and 5.5: their sizes, and which tensor reaches which U-Net."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from training.models.joint import ROWS, WIRINGS, Heard, Joint, own_rows
from training.models.unet import UNet

U = 9_823_313
BINS, FRAMES = 512, 16
NARROW = (2, 2, 2, 2, 2, 2)


def _net(wiring: str, channels: Any = NARROW, **options: str) -> Joint:
    given = {"merge": "convolution", "masked": "mixture"} | options
    return WIRINGS[wiring](lambda **more: UNet(channels, **more), **given)


@pytest.mark.parametrize(
    ("wiring", "options", "parameters"),
    [
        ("pitch-only", {}, U),
        ("source-only", {}, U),
        ("oracle-vocals", {}, U),
        ("oracle-pitch", {}, U + 400),
        ("shared-encoder", {}, 15_278_402),
        ("cross-stitch", {}, 20_696_226),
        ("cross-stitch", {"merge": "concatenation"}, 26_200_226),
        ("source-to-pitch", {}, 2 * U),
        ("separately-trained", {}, 2 * U),
        ("pitch-to-source", {}, 2 * U + 400),
        ("stacked-refinement", {}, 4 * U + 400),
    ],
)
def test_sizes(wiring: str, options: dict[str, str], parameters: int) -> None:
    with torch.device("meta"):
        net = _net(wiring, (16, 32, 64, 128, 256, 512), **options)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


def test_every_network_is_tested() -> None:
    assert len(WIRINGS) == 10


class Watched:
    """A network in evaluation mode, and what goes into and comes out of its U-Nets."""

    def __init__(self, wiring: str, **options: str) -> None:
        torch.manual_seed(0)
        self.net = _net(wiring, **options).eval()
        self.given: dict[str, Tensor] = {}
        self.found: dict[str, Tensor] = {}
        for name, part in self.net.named_children():
            part.register_forward_hook(self._noting(name))
        self.X, self.Y, self.S = torch.rand(3, 2, 1, BINS, FRAMES)
        self.heard: Heard = self.net.hear(self.X, self.Y, self.S)

    def _noting(self, name: str) -> Any:
        def note(module: nn.Module, given: tuple[Tensor], found: Tensor) -> None:
            assert name not in self.given, f"{name} runs twice"
            self.given[name], self.found[name] = given[0], found

        return note


def _salience(found: Tensor) -> Tensor:
    """Ŝ as the salience net gives it: nothing above its own rows."""
    kept = found.clone()
    kept[:, :, ROWS:] = 0
    return kept


def _is(part: Tensor | None, *wanted: Tensor) -> bool:
    return part is not None and torch.equal(part, torch.cat(wanted, dim=1))


def test_pitch_only() -> None:
    seen = Watched("pitch-only")
    assert _is(seen.given["pitch"], seen.X)
    assert _is(seen.heard.salience, _salience(seen.found["pitch"])) and seen.heard.vocals is None


def test_source_only() -> None:
    seen = Watched("source-only")
    assert _is(seen.given["source"], seen.X)
    assert _is(seen.heard.vocals, seen.found["source"] * seen.X) and seen.heard.salience is None


def test_oracle_vocals() -> None:
    seen = Watched("oracle-vocals")
    assert _is(seen.given["pitch"], seen.Y)
    assert _is(seen.heard.salience, _salience(seen.found["pitch"])) and seen.heard.vocals is None


def test_oracle_pitch() -> None:
    seen = Watched("oracle-pitch")
    assert _is(seen.given["source"], seen.X, _salience(seen.S))
    assert _is(seen.heard.vocals, seen.found["source"] * seen.X) and seen.heard.salience is None


def test_source_to_pitch() -> None:
    seen = Watched("source-to-pitch")
    assert _is(seen.given["source"], seen.X)
    vocals = seen.found["source"] * seen.X
    assert _is(seen.heard.vocals, vocals) and _is(seen.given["pitch"], vocals)
    assert _is(seen.heard.salience, _salience(seen.found["pitch"]))


def test_pitch_to_source() -> None:
    seen = Watched("pitch-to-source")
    assert _is(seen.given["pitch"], seen.X)
    salience = _salience(seen.found["pitch"])
    assert _is(seen.heard.salience, salience) and _is(seen.given["source"], seen.X, salience)
    assert _is(seen.heard.vocals, seen.found["source"] * seen.X)


@pytest.mark.parametrize("masked", ["mixture", "estimate"])
def test_stacked_refinement(masked: str) -> None:
    seen = Watched("stacked-refinement", masked=masked)
    assert _is(seen.given["source"], seen.X)
    first = seen.found["source"] * seen.X
    salience = _salience(seen.found["pitch"])
    assert _is(seen.given["pitch"], first)
    assert _is(seen.given["second_source"], first, salience)
    second = seen.found["second_source"] * (seen.X if masked == "mixture" else first)
    assert seen.heard.vocals is not None and torch.allclose(seen.heard.vocals, second)
    assert _is(seen.given["second_pitch"], seen.heard.vocals)
    assert _is(seen.heard.salience, _salience(seen.found["second_pitch"]))
    assert seen.heard.first is not None
    assert _is(seen.heard.first.vocals, first) and _is(seen.heard.first.salience, salience)


@pytest.mark.parametrize("wiring", [name for name in WIRINGS if "vocals" in WIRINGS[name].gives])
def test_the_mask_of_a_network_gives_its_vocals(wiring: str) -> None:
    """As a module it is what separation asks of any core."""
    seen = Watched(wiring, masked="estimate")
    heard = seen.heard
    assert heard.mask is not None and heard.vocals is not None
    assert torch.allclose(heard.mask * seen.X, heard.vocals, atol=1e-7)
    assert float(heard.mask.detach().min()) > 0 and float(heard.mask.detach().max()) < 1
    if not seen.net.sees:
        seen.given.clear()
        assert torch.equal(seen.net(seen.X), heard.mask)


@pytest.mark.parametrize("wiring", WIRINGS)
def test_fresh_nets_expect_few_pitches_and_half_masks(wiring: str) -> None:
    """Every salience of a network, the first estimates too; masks stay where they were."""
    torch.manual_seed(0)
    net = _net(wiring).expect(0.005)
    X = torch.rand(2, 1, BINS, 64)
    heard: Heard | None = net.hear(X, X, X)
    while heard is not None:
        if heard.salience is not None:
            assert 0.002 < float(heard.salience[:, :, :ROWS].detach().mean()) < 0.012
        if heard.mask is not None:
            assert 0.3 < float(heard.mask.detach().mean()) < 0.7
        heard = heard.first


def test_expecting_a_half_changes_nothing() -> None:
    torch.manual_seed(0)
    net = _net("source-to-pitch")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert all(torch.equal(before[n], held) for n, held in net.expect(0.5).state_dict().items())


def test_only_oracles_see_the_truth() -> None:
    for wiring, kind in WIRINGS.items():
        seen = Watched(wiring)
        for place, name in enumerate(("vocals", "salience")):
            seen.given.clear()
            truth = [seen.Y, seen.S]
            truth[place] = torch.rand(2, 1, BINS, FRAMES)
            found = seen.net.hear(seen.X, *truth)
            results = [(found.vocals, seen.heard.vocals), (found.salience, seen.heard.salience)]
            same = all(a is b is None or _is(a, b) for a, b in results)
            assert same == (name not in kind.sees), wiring


GRADIENTS = [
    # wiring, what L_v reaches, what L_s reaches
    ("source-to-pitch", {"source"}, {"source", "pitch"}),
    ("pitch-to-source", {"pitch", "source"}, {"pitch"}),
    ("separately-trained", None, {"pitch"}),
    (
        "stacked-refinement",
        {"source", "pitch", "second_source"},
        {"source", "pitch", "second_source", "second_pitch"},
    ),
]


@pytest.mark.parametrize(("wiring", "by_vocals", "by_salience"), GRADIENTS)
def test_gradients_flow_through_what_stands_before(
    wiring: str, by_vocals: set[str] | None, by_salience: set[str]
) -> None:
    torch.manual_seed(0)
    net = _net(wiring, (4, 4, 4, 4, 4, 4))
    X, Y, S = torch.rand(3, 2, 1, BINS, 64)
    heard = net.hear(X, Y, S)
    assert heard.vocals is not None and heard.salience is not None
    if by_vocals is None:
        assert not heard.vocals.requires_grad
    else:
        assert _parts(net, heard.vocals) == by_vocals
        heard = net.hear(X, Y, S)
    assert heard.salience is not None
    assert _parts(net, heard.salience) == by_salience


def _parts(net: Joint, found: Tensor) -> set[str]:
    """The children of a network that the sum of what it found has a gradient for."""
    net.zero_grad()
    (found * torch.rand_like(found)).sum().backward()
    return {
        name
        for name, part in net.named_children()
        if any(p.grad is not None and bool(p.grad.any()) for p in part.parameters())
    }


@pytest.mark.parametrize(
    ("wiring", "both"),
    [("shared-encoder", {"source.encoder"}), ("cross-stitch", {"source.encoder", "pitch.encoder"})],
)
def test_each_task_reaches_its_decoder_and_what_is_shared(wiring: str, both: set[str]) -> None:
    torch.manual_seed(0)
    net = _net(wiring, (4, 4, 4, 4, 4, 4))
    X = torch.rand(2, 1, BINS, 64)
    for task, other in (("source", "pitch"), ("pitch", "source")):
        heard = net.hear(X, X, X)
        found = heard.mask if task == "source" else heard.salience
        assert found is not None
        net.zero_grad()
        (found * torch.rand_like(found)).sum().backward()
        reached = {
            ".".join(name.split(".")[1:3])
            for name, p in net.named_parameters()
            if p.grad is not None and bool(p.grad.any())
        }
        assert both | {f"{task}.decoder"} <= reached and f"{other}.decoder" not in reached


def test_skip_connections_of_a_cross_stitch_do_not_cross() -> None:
    """With nothing at the bottleneck, each task sees its own encoder alone."""
    torch.manual_seed(0)
    net = _net("cross-stitch", (4, 4, 4, 4, 4, 4)).eval()
    both = net.both
    for merge in both.merge:
        nn.init.zeros_(merge.weight)
    X = torch.rand(1, 1, BINS, 64)
    before = net.hear(X, X, X)
    with torch.no_grad():
        for parameter in both.pitch.encoder.parameters():
            parameter.mul_(2)
    after = net.hear(X, X, X)
    assert _is(after.mask, before.mask) and not _is(after.salience, before.salience)


def test_a_decoder_of_concatenated_bottlenecks_sees_both() -> None:
    net = _net("cross-stitch", (4, 4, 4, 4, 4, 6), merge="concatenation")
    for part in (net.both.source, net.both.pitch):
        assert part.decoder[0].in_channels == 12 and part.encoder[-1][0].out_channels == 6


def test_the_net_that_is_frozen_stays_in_evaluation_mode() -> None:
    net = _net("separately-trained").train()
    assert not any(part.training for part in net.source.modules())
    assert all(part.training for part in net.pitch.modules())
    assert not any(parameter.requires_grad for parameter in net.source.parameters())
    before = {name: tensor.clone() for name, tensor in net.source.state_dict().items()}
    net.hear(*torch.rand(3, 2, 1, BINS, FRAMES))
    assert all(torch.equal(before[name], held) for name, held in net.source.state_dict().items())


def test_rows_beyond_the_salience_s_own_carry_nothing() -> None:
    """Neither to the loss nor to a next net, whose gradient could make a channel of them."""
    found = torch.rand(1, 1, BINS, 4, requires_grad=True)
    kept = own_rows(found)
    assert torch.equal(kept[:, :, :ROWS], found[:, :, :ROWS]) and not bool(kept[:, :, ROWS:].any())
    kept.sum().backward()
    assert found.grad is not None and not bool(found.grad[:, :, ROWS:].any())
