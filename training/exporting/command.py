"""`stemlode export CHECKPOINT --output model.onnx`: the nets of a checkpoint for other runtimes;
with `--scores`, its folder for a hub (`training.exporting.folder`).

The nets are exported without the transforms around them: a spectrogram goes in, masks come out.
Transforms exist in every language and differ between runtimes. A JSON file beside the model says
which ones the net was trained with:

    {"sample_rate": 44100, "channels": 1, "sources": ["vocals"], "input": "spectrogram",
     "n_fft": 2048, "hop": 512, "window": "hann", "bins": 1025, "parts": ["real", "imaginary"], …}

What goes in is `spectrogram`, float32 [batch, parts, bins, frames]; what comes out is `masks`,
[batch, sources, parts, bins, frames], for any batch and any number of frames. A net that hears
pitch also gives `salience`, [batch, rows, frames] in 0…1, whose rows the JSON describes; one of
pitch alone gives nothing else. The file is written only if onnxruntime gives what PyTorch gives.
"""

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stemlode import files, runs
from stemlode.arguments import Parser
from stemlode.runs import BadUsage, Failed
from stemlode.shards import salience
from training import checkpoint
from training.checkpoint import Checkpoint
from training.exporting import folder
from training.models import filterbank
from training.published import places
from training.recipes import chunks
from training.recipes.answers import Transform
from training.recipes.base import Recipe
from training.recipes.chunks import Chunking

SUFFIX = ".onnx"
DIMS = {
    "spectrogram": ("batch", "parts", "bins", "frames"),
    "masks": ("batch", "sources", "parts", "bins", "frames"),
    "salience": ("batch", "rows", "frames"),
}
LARGEST_MISS = 1e-4  # of a mask's values, between PyTorch and onnxruntime
TRACED = (2, 77)  # batch and frames of the example; both stay open
CHECKED = ((1, 77), (3, 130), (2, 33))  # batches and frames at which the two are compared


class Cores(nn.Module):
    """The nets of a recipe as one: all of them see the same spectrogram."""

    def __init__(self, trained: Checkpoint) -> None:
        super().__init__()
        self.recipe = trained.recipe
        self.cores = nn.ModuleList(trained.recipe.cores(trained.core))

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        """What it gives, in this order, and which axes are open."""
        masks = {"masks": {0: "batch", 4: "frames"}} if self.recipe.separates else {}
        heard = {"salience": {0: "batch", 2: "frames"}} if self.recipe.hears else {}
        return masks | heard

    def forward(self, spectrogram: Tensor) -> tuple[Tensor, ...]:
        """[batch, parts, bins, frames] → masks [batch, sources, parts, bins, frames] and salience
        [batch, rows, frames], as far as it gives them."""
        found = []
        if self.recipe.separates:
            found.append(torch.stack([core(spectrogram) for core in self.cores], dim=1))
        if self.recipe.hears:
            found += [self.recipe.salience(core, spectrogram) for core in self.cores]
        return tuple(found)


def facts(recipe: Recipe) -> dict[str, Any]:
    """The transforms around the nets, and what goes in and comes out.

    `sample_rate` in Hz, `n_fft` and `hop` in samples; for the rest see `training.recipes.base`,
    `Transform`. Failed where the recipe says nothing about it.
    """
    around = recipe.transform
    if recipe.told:
        raise Failed(
            f"{recipe.name} cannot be exported: it is an oracle, which must be told the "
            f"{' and '.join(recipe.told)}"
        )
    if around is None:
        raise Failed(f"{recipe.name} cannot be exported: it is more than a net that gives masks")
    rows = {
        "rows": salience.ROWS,
        "rows_per_octave": salience.ROWS_PER_OCTAVE,
        "lowest_hz": salience.LOWEST_HZ,
        "threshold": salience.THRESHOLD,
    }
    return {
        "input": "spectrogram",
        "recipe": recipe.name,
        "sample_rate": recipe.sample_rate,
        "channels": around.channels,
        "sources": list(recipe.estimated) if recipe.separates else [],
        **({"salience": rows} if recipe.hears else {}),
        "window": around.window,
        "bands": around.bands,
        "divided_by": around.divided_by,
        "n_fft": around.n_fft,
        "hop": around.hop_length,
        "bins": around.bins,
        "parts": list(around.parts),
        **_for_programs(recipe, around),
    }


def _for_programs(recipe: Recipe, around: Transform) -> dict[str, Any]:
    """What a program without ours needs to separate as `separate` does (docs/onnx.md)."""
    cut = recipe.cut(Chunking())
    chunked = {
        "seconds": cut.length,
        "hop_seconds": cut.hop_seconds,
        "beyond_ends": cut.padded,
        "fade": "hann",
        "fade_floor": chunks.FADE_FLOOR,
    }
    return {
        "dims": {name: [*dims] for name, dims in DIMS.items()},
        "padding": {
            "mode": "zeros",
            "to_multiple_of": around.hop_length,
            "before": around.n_fft // 2,
            "after": around.n_fft // 2,
        },
        "phase": "mixture",
        "mask": around.mask,
        "channels_seen": around.channels_seen,
        "inverted": around.inverted,
        "divisor": "none" if around.divided_by == 1 else "song_peak_magnitude",
        "filters": filterbank.filters(around.bands).tolist() if around.bands > 1 else None,
        "chunks": None if cut.whole else chunked,
        "separated": list(recipe.separated) if recipe.separates else [],
        "stems": list(recipe.stems) if recipe.separates else [],
    }


def to_onnx(trained: Checkpoint) -> bytes:
    """A checkpoint's nets as an ONNX model, checked; Failed where onnxruntime says otherwise."""
    import onnx  # noqa: PLC0415 (an extra)

    cores = Cores(trained).to("cpu").eval()
    shape = facts(trained.recipe)
    example = torch.randn(TRACED[0], len(shape["parts"]), shape["bins"], TRACED[1])
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that lengths might be fixed: `check` tries several
        torch.onnx.export(
            cores,
            (example,),
            buffer,  # type: ignore[arg-type]
            input_names=["spectrogram"],
            output_names=[*cores.outputs],
            dynamic_axes={"spectrogram": {0: "batch", 3: "frames"}, **cores.outputs},
            dynamo=False,  # the newer exporter makes loops of LSTMs, which run far slower
        )
    model = onnx.load_from_string(buffer.getvalue())
    sizes = {"sources": len(cores.cores), "parts": len(shape["parts"]), "bins": shape["bins"]}
    sizes["rows"] = salience.ROWS
    for given in (*model.graph.input, *model.graph.output):
        for dim, name in zip(given.type.tensor_type.shape.dim, DIMS[given.name], strict=True):
            dim.denotation = name
            if name in sizes:
                dim.dim_value = sizes[name]
    onnx.checker.check_model(model)
    written = model.SerializeToString()
    check(written, cores, shape)
    return written


@torch.inference_mode()
def check(model: bytes, cores: Cores, shape: dict[str, Any]) -> float:
    """The largest difference between what onnxruntime and PyTorch make of noise, at several batches
    and lengths; Failed where it is above LARGEST_MISS."""
    import onnxruntime  # noqa: PLC0415 (an extra)

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch, frames in CHECKED:
        given = torch.randn(batch, len(shape["parts"]), shape["bins"], frames)
        if shape["parts"] == ["magnitude"]:
            given = given.abs()
        held = session.run([*cores.outputs], {"spectrogram": given.numpy()})
        for name, found, wanted in zip(cores.outputs, held, cores(given), strict=True):
            same = found.shape == tuple(wanted.shape)
            missed = float(np.abs(found - wanted.numpy()).max()) if same else np.inf
            if not missed <= LARGEST_MISS:
                raise Failed(
                    f"onnxruntime's {name} of {frames} frames differ from PyTorch's by "
                    f"{missed:.1g}; nothing is written"
                )
            worst = max(worst, missed)
    return worst


def parser(argv: Sequence[str] = ()) -> Parser:
    """The command line."""
    found = Parser(
        prog="stemlode export",
        usage="stemlode export CHECKPOINT --output FILE.onnx [options]\n"
        "       stemlode export CHECKPOINT --scores RUN --output DIR [options]",
        description="Write the nets of a checkpoint, without the transforms around them, as an "
        "ONNX file for any batch and any number of frames, and beside it a JSON file that says "
        "which transforms these are. With --scores: its folder as hubs take it, with the scores on "
        "its card.",
    )
    found.add_argument("checkpoint", metavar="CHECKPOINT", help=places.SAID)
    found.add_argument(
        "--output",
        metavar="FILE",
        help="to write: NAME.onnx, and NAME.json beside it; with --scores a folder",
    )
    found.add_argument(
        "--scores",
        metavar="RUN",
        action="append",
        default=[],
        help="write a checkpoint's folder in place of ONNX, with what this run of `evaluate` found "
        "on its card; again for another run",
    )
    found.add_argument("--overwrite", action="store_true", help="replace the files")
    return found


def main(argv: Sequence[str]) -> int:
    """Run `stemlode export`; the exit status."""
    options = parser(argv).parse(argv)
    if not options.output:
        raise BadUsage("stemlode export needs --output (see --help)")
    output = files.absolute(options.output)
    if output.endswith(SUFFIX) == bool(options.scores):
        kind = "be a folder, with --scores" if options.scores else f"end with {SUFFIX}"
        raise BadUsage(f"--output {options.output}: must {kind}")
    beside = f"{output.removesuffix(SUFFIX)}.json"
    in_it = [files.join(output, name) for name in checkpoint.FILES]
    for path in in_it if options.scores else (output, beside):
        if files.exists(path) and not options.overwrite:
            raise BadUsage(f"--output {path}: is there already; --overwrite replaces it")
    try:
        trained = checkpoint.load(options.checkpoint, "cpu")
    except (BadUsage, Failed) as error:
        raise type(error)(str(error).replace("--checkpoint", "CHECKPOINT", 1)) from error
    if options.scores:
        for path in folder.write(output, trained, options.scores):
            print(runs.on_one_line(path))
        return 0
    model = to_onnx(trained)
    described = runs.to_json(facts(trained.recipe) | {"step": trained.step})
    try:
        files.write_bytes(output, model)
        files.write_bytes(beside, described)
    except OSError as error:
        raise Failed(f"--output {output}: {runs.reason(error)}") from error
    for path in (output, beside):
        print(runs.on_one_line(path))
    return 0
