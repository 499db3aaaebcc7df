"""What `--model` names, as a separator through which gradients pass.

A name is a checkpoint of ours (its folder, or that of its run); several of them with commas
between, which separate a song together as `separate` with several `--checkpoint` does; a file of
TorchScript with a JSON file beside it; or `module:function` (`training.teachers.loading`). The last
two are programs: they run with the user's rights.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stemlode import audio, files, runs
from stemlode.addresses.pinned import HUB
from stemlode.runs import BadUsage, Failed
from training import checkpoint
from training.amicable import twin
from training.amicable.twin import Net, Separator
from training.checkpoint import Checkpoint
from training.published import places
from training.recipes.chunks import Chunking
from training.recipes.values import rest_of
from training.separation.separate import separate_file
from training.separation.system import Parts, System
from training.teachers import loading
from training.teachers.loading import ENTRY, FILES
from training.teachers.teacher import Teacher

SCRIPTS = (".pt", ".pth", ".ts")
# In which a teacher hears a song: it says nothing of how it wants one cut, and most want context.
OF_TEACHERS = Chunking(12.0, 6.0, batch=1, padded=False)
PROBE_S = 1.0


@dataclass(frozen=True)
class Model:
    """A separator, and how it separates a file once gradients are no longer wanted."""

    name: str
    sha256: str
    separator: Separator
    system: System | None  # of checkpoints: what `separate` has

    def separate(self, path: str) -> Parts:
        """The stems of a file, as `stemlode separate` writes them, read back. What is no checkpoint
        has no such verb, and hears the file as while the perturbation was made."""
        if self.system is None:
            song = audio.read(path)
            return self._by_twin(torch.from_numpy(song.samples), song.sample_rate)
        with tempfile.TemporaryDirectory() as folder:
            separate_file(path, folder, self.system)
            stems = self.system.stems
            return {stem: audio.read(f"{folder}/{stem}.wav").samples for stem in stems}

    @torch.no_grad()
    def _by_twin(self, song: Tensor, sample_rate: int) -> Parts:
        levels = self.separator.levels(song, sample_rate)
        (whole,) = twin.pieces(song.shape[1], sample_rate, 1 + song.shape[1] // sample_rate)
        (found,) = twin.separate(self.separator, [song], [whole], [levels])
        return {stem: samples.numpy() for stem, samples in found.items()}


def load(name: str, device: torch.device, chunking: Chunking | None = None) -> Model:
    """A model by its name. BadUsage or Failed where it is none, or lets no gradient through."""
    cut = Chunking() if chunking is None else chunking
    if name.lower().endswith(".onnx"):
        raise BadUsage(
            f"--model {name}: no gradient passes through an ONNX file; give the checkpoint that it "
            "was exported from, or the net as TorchScript (.pt)"
        )
    with _as_model():
        if ENTRY.fullmatch(name) or name.lower().endswith(SCRIPTS):
            model = _of_teacher(loading.load(name, device), cut)
        else:
            trained = [checkpoint.load(one, device) for one in apart(name)]
            model = of_checkpoints(trained, cut, name, " ".join(one.sha256 for one in trained))
    _check_gradient(model)
    return model


def apart(name: str) -> list[str]:
    """The checkpoints of a name, where it is one of several."""
    whole = "," not in name or (not name.startswith(HUB) and files.exists(name))
    return [name] if whole else name.split(",")


def pinned(name: str) -> str:
    """A model's name as other processes and machines understand it. BadUsage or Failed where it is
    none."""
    if ENTRY.fullmatch(name) or name.lower().endswith(FILES):
        return name
    with _as_model():
        return ",".join(places.pinned(one) for one in apart(name))


def of_checkpoints(
    trained: list[Checkpoint], chunking: Chunking, name: str = "the model", sha256: str = ""
) -> Model:
    """Checkpoints that separate a song together."""
    system = System(trained, chunking)
    nets = tuple(_net(one, system) for one in trained)
    return Model(name, sha256, Separator(name, nets), system)


def _net(trained: Checkpoint, system: System) -> Net:
    recipe, core = trained.recipe, trained.core
    ready(core)

    def estimate(chunks: Tensor, levels: Tensor) -> Tensor:
        with backward_on_gpu(core, chunks.device):
            return recipe.estimate_chunks(core, chunks, levels)

    cut = recipe.cut(system.chunking)
    return Net(
        recipe.name,
        recipe.sample_rate,
        recipe.separated,
        recipe.stems if len(system.models) == 1 else system.taken(trained),
        estimate,
        next(core.parameters()).device,
        cut,
        recipe.song_level,
        recipe.sight if cut.whole else None,
        weights=core,
    )


def _of_teacher(teacher: Teacher, chunking: Chunking) -> Model:
    module = teacher.call if isinstance(teacher.call, nn.Module) else None
    weights = list(module.parameters()) if module else []
    if module:
        ready(module)

    def estimate(chunks: Tensor, levels: Tensor) -> Tensor:
        # A copy, as some nets scale their input in place. Without cuDNN, whose LSTMs pass no
        # gradient outside training.
        with _without_cudnn():
            found = teacher.call(chunks.clone())
        wanted = (len(chunks), len(teacher.sources), *chunks.shape[1:])
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            got = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise Failed(f"--model {teacher.name}: gave {got}, not {list(wanted)}")
        return found

    given = teacher.sources if len(teacher.sources) > 1 else None
    taken = given or (teacher.sources[0], rest_of(teacher.sources[0]))
    asked = chunking.whole or chunking.seconds is not None
    net = Net(
        *(teacher.name, teacher.sample_rate, teacher.sources, taken, estimate, teacher.device),
        chunking if asked else OF_TEACHERS,
        channels=teacher.channels,
        weights=module if weights else None,
    )
    return Model(teacher.name, teacher.sha256, Separator(teacher.name, (net,)), None)


def ready(module: nn.Module) -> None:
    """In evaluation mode, and without gradients of the weights, which stay as they are."""
    module.eval()
    for weight in module.parameters():
        weight.requires_grad_(False)


@contextlib.contextmanager
def backward_on_gpu(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Within it, recurrent layers without dropout count as in training, where it is the same and
    where alone cuDNN passes gradients."""
    layers = [one for one in module.modules() if isinstance(one, nn.RNNBase) and not one.dropout]
    changed = layers if device.type == "cuda" and torch.is_grad_enabled() else []
    for layer in changed:
        layer.training = True
    try:
        yield
    finally:
        for layer in changed:
            layer.training = False


@contextlib.contextmanager
def _without_cudnn() -> Iterator[None]:
    """`torch.backends.cudnn.flags` also reads what `training.devices` sets of TF32, and fails."""
    before, torch.backends.cudnn.enabled = torch.backends.cudnn.enabled, False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = before


def _check_gradient(model: Model) -> None:
    """Failed where no gradient passes, or none but NaN."""
    net = model.separator.nets[0]
    generator = torch.Generator().manual_seed(0)
    samples = round(PROBE_S * net.sample_rate)
    song = 0.1 * torch.randn(net.channels or 2, samples, generator=generator)
    song.requires_grad_()
    levels = model.separator.levels(song.detach(), net.sample_rate)
    (whole,) = twin.pieces(samples, net.sample_rate, 2)
    try:
        (found,) = twin.separate(model.separator, [song], [whole], [levels])
        sources = torch.stack(
            [found[stem] for stem in net.sources if stem in found] or [*found.values()]
        )
        (gradient,) = torch.autograd.grad(sources.square().sum(), song)
    except Failed:
        raise
    except Exception as error:
        said = runs.reason(error)
        if "does not require grad" in said or "not have been used" in said:
            said = "a part of it is not differentiable (detach, numpy, no_grad or rounding)"
        raise Failed(f"--model {model.name}: no gradient passes through it: {said}") from error
    if not bool(torch.isfinite(gradient).all()):
        raise Failed(f"--model {model.name}: its gradient is NaN or infinite")
    if float(gradient.abs().max()) == 0 and float(sources.detach().abs().max()) > 0:
        raise Failed(f"--model {model.name}: no gradient passes through it: it is 0 everywhere")


@contextlib.contextmanager
def _as_model() -> Iterator[None]:
    """Errors of other verbs' options name ours."""
    try:
        yield
    except (BadUsage, Failed) as error:
        line = str(error)
        for option in ("--teacher", "--checkpoint"):
            line = line.replace(option, "--model", 1)
        raise type(error)(line) from error
