"""`stemlode perturb MIXTURE`: a perturbation that makes given separators separate it better."""

import sys
from collections.abc import Sequence

from tqdm import tqdm

from stemlode import files, runs
from stemlode.arguments import Parser
from stemlode.audio import AudioError
from stemlode.runs import BadUsage, Failed
from training.amicable import models, optimise, options, perturb, song
from training.amicable.optimise import State
from training.amicable.perturb import FILES
from training.devices import pick_device
from training.separation.options import add_chunking, chunking_of, cut


def main(argv: Sequence[str]) -> int:
    """Run `stemlode perturb`; the exit status."""
    given = parser().parse(argv)
    for name in ("stems", "output"):
        if not getattr(given, name):
            raise BadUsage(f"stemlode perturb needs --{name} (see --help)")
    task, chunking = options.task_of(given), chunking_of(given)
    device = pick_device(given.device)
    if not files.is_file(given.mixture):
        what = "is a folder; name the file" if files.exists(given.mixture) else "no such file"
        raise BadUsage(f"{given.mixture}: {what}")
    loaded = [models.load(name, device, chunking) for name in given.model]
    output = files.absolute(given.output)
    inputs = {
        "mixture": files.absolute(given.mixture),
        "stems": files.absolute(given.stems),
        **options.model_inputs(given.model),
    }
    decisive = options.decisive(given) | cut(chunking)
    decisive["model_sha256"] = [model.sha256 for model in loaded]
    run = runs.start(
        "perturb", output, decisive, inputs, overwrite=given.overwrite, writes=FILES
    )  # fmt: skip
    if run is None:
        print(f"perturb: already complete in {output}")
        return 0
    try:
        known = song.in_folder(inputs["mixture"], inputs["stems"])
        title = inputs["mixture"].rpartition("/")[2]
        with _bar(task) as bar:
            report = perturb.perturb(
                known, loaded, task, output, run.path(runs.PARTS), lambda s: _show(bar, s), title
            )
    except AudioError as error:
        raise Failed(f"{given.mixture}: {error}") from error
    except OSError as error:
        raise Failed(f"--output {output}: {runs.reason(error)}; run again to resume") from error
    files.remove(run.path(runs.PARTS))
    written = {name: files.sha256(run.path(name)) for name in FILES}
    run.finish({"songs": 1}, written, di_sdr=report["di_sdr"], notes=report["notes"])
    for model in report["models"]:
        print(runs.on_one_line(f"{model['name']}: {_gain(model['gain_db']['median'])}"))
    for note in report["notes"]:
        print(runs.on_one_line(f"note: {note}"), file=sys.stderr)
    print(runs.on_one_line(run.path(perturb.PAGE)))
    return 0


def _gain(gain: float | None) -> str:
    return "no stem of it sounds" if gain is None else f"{gain:+.2f} dB SDR, mean over stems"


def _bar(task: perturb.Task) -> tqdm:
    total = optimise.iterations(task.settings)
    return tqdm(total=total, desc="perturb", unit=" iterations", disable=None)


def _show(bar: tqdm, state: State) -> None:
    """How far it is; searches that are not needed count as done."""
    ahead = optimise.SEARCHES * optimise.SEARCH_ITERATIONS
    if not state.tried and not state.search:
        at = state.iteration
    elif state.search:
        at = (state.search - 1) * optimise.SEARCH_ITERATIONS + state.iteration
    else:
        at = ahead + state.iteration
    bar.update(max(0, min(bar.total or at, at) - bar.n))
    if state.last_at is not None:
        last = state.last_at
        bar.set_postfix_str(f"loss {last.loss:.4g}, DI_SDR {last.di_sdr['median']:.1f} dB")


def parser(argv: Sequence[str] = ()) -> Parser:
    """The command line."""
    found = Parser(
        prog="stemlode perturb",
        usage="stemlode perturb MIXTURE --stems DIR --model MODEL … --output DIR [options]",
        description="Compute an inaudible perturbation of a mixture whose stems are known that "
        "makes a given separator separate it better (amicable examples), or with a negative "
        "weight worse. Writes perturbed.wav, perturbation.wav, report.json and report.html.",
    )
    found.add_argument("mixture", metavar="MIXTURE", help="an audio file of any format")
    found.add_argument(
        "--stems",
        metavar="DIR",
        help="folder of its true stems, a file each (vocals.wav, accompaniment.wav, drums.wav, …), "
        "of the mixture's rate and length, which sum to it",
    )
    options.add(found)
    found.add_argument("--output", metavar="DIR", help="folder to write; a rerun resumes")
    add_chunking(found)
    found.add_argument("--overwrite", action="store_true", help="start over")
    return found
