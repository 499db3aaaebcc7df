"""The command line: a verb in each line of `VERBS`, and the module that runs it."""

import contextlib
import difflib
import faulthandler
import importlib
import io
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from typing import NoReturn

from stemlode import extras, signals

# verb → module with main(argv), the extras of which each installs it, and what it makes of what
VERBS = {
    "demo": (
        "pipelines.demo.command",
        ["demo"],
        "the whole flow in a few minutes, on music that it makes",
    ),
    "scan": ("pipelines.catalogue.scan", ["pipelines"], "a folder of audio → a catalogue"),
    "match": ("pipelines.match.command", ["pipelines"], "a catalogue → candidate pairs"),
    "prune": (
        "pipelines.prune.command",
        ["pipelines"],
        "candidates → pairs verified by their sound",
    ),
    "review": (
        "pipelines.review.command",
        ["review"],
        "a sample of scored pairs → thresholds, by ear, on a local page",
    ),
    "corpus": (
        "pipelines.corpus.command",
        ["pipelines"],
        "verified pairs, multitrack folders → shards and an index",
    ),
    "verify": (
        "pipelines.verify.command",
        ["pipelines", "train"],
        "a corpus → is every byte what its record says?",
    ),
    "pseudolabel": (
        "pipelines.pseudolabel.command",
        ["pipelines,train"],
        "unlabelled tracks and a teacher → labelled shards",
    ),
    "salience": (
        "pipelines.salience.command",
        ["pipelines,pitch"],
        "a corpus with isolated vocals → the salience of their pitch beside it",
    ),
    "train": ("training.loop.command", ["train"], "a corpus → a checkpoint"),
    "finetune": (
        "training.finetuning.command",
        ["train"],
        "a checkpoint and unlabelled songs → a better checkpoint",
    ),
    "evaluate": (
        "training.evaluation.command",
        ["train"],
        "a checkpoint and true stems → scores",
    ),
    "separate": (
        "training.separation.command",
        ["train"],
        "audio files → vocals and accompaniment",
    ),
    "pitch": ("training.pitch.command", ["pitch"], "audio files → the pitch that is sung in them"),
    "perturb": (
        "training.amicable.command",
        ["train,report"],
        "a mixture and its stems → one that given models separate better",
    ),
    "perturb-songs": (
        "pipelines.perturb.command",
        ["pipelines,train"],
        "multitrack songs → a perturbed mixture of each",
    ),
    "export": (
        "training.exporting.command",
        ["train,export"],
        "a checkpoint → its nets as ONNX, for other runtimes",
    ),
    "export-stems": (
        "pipelines.export_stems.command",
        ["pipelines"],
        "a corpus → folders of songs, as other trainers read them",
    ),
    "export-manifest": (
        "pipelines.export_manifest.command",
        ["pipelines"],
        "a corpus → manifests of it, as lhotse reads them",
    ),
    "report": ("pipelines.report.command", ["report"], "run folders → one HTML page"),
    "status": (
        "stemlode.progress.command",
        ["pipelines"],
        "a run folder → how far it is, what it rejects, why it ended",
    ),
}


NOTING_S = 5.0  # to leave word of an early end in the run's folder


def program() -> int:
    """`main` as the process that a user started, which says where it was if a library aborts it.

    One of several processes (`torchrun`) that is done ends at once: threads of gloo or NCCL that
    see the others leave have aborted processes whose work was complete.
    """
    with contextlib.suppress(RuntimeError, OSError, ValueError):  # a closed stderr
        faulthandler.enable()
    status = main()
    if status == 0 and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _flush()
        os._exit(0)
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run `stemlode VERB …`; the exit status: 0 done, 1 failed, 2 bad usage.

    A signal ends the process: 130 for Ctrl-C, 143 for SIGTERM.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    signals.outlive_readers()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # any name can be shown on any terminal
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(importlib.import_module("importlib.metadata").version("stemlode"))
        return 0
    verb, rest = argv[0], argv[1:]
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, 1)
        hint = f"did you mean {near[0]}?" if near else f"the verbs are {', '.join(VERBS)}"
        return _complain(f"stemlode: no verb {verb!r}; {hint}", 2)
    return run(verb, rest)


def run(verb: str, argv: Sequence[str]) -> int:
    """Call a verb's module and turn what it raises into one line and an exit status."""
    _quiet()
    try:
        with signals.heeded(_end):
            calling = importlib.import_module("stemlode.configuration.calling")
            return calling.call(importlib.import_module(VERBS[verb][0]), verb, argv)
    except KeyboardInterrupt:
        _end()
    except Exception as error:
        if signals.received():  # a library made something else of it
            _end()
        return _complain(*explained(error, verb))


def explained(error: Exception, verb: str) -> tuple[object, int]:
    """What a verb raised as a line, and the exit status."""
    from stemlode.files import BadAddress  # noqa: PLC0415 (keeps --help fast)
    from stemlode.runs import BadUsage, Failed, reason  # noqa: PLC0415

    if isinstance(error, (BadUsage, BadAddress, Failed)):
        return error, 1 if isinstance(error, Failed) else 2
    if isinstance(error, ModuleNotFoundError):
        missing = error.name or str(error)
        if missing.split(".", maxsplit=1)[0] in extras.OURS:
            return f"{error}; this installation is broken, install stemlode again", 1
        return extras.line(missing, VERBS[verb][1], f"stemlode {verb}"), 1
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{reason(error)}", 1
    if _is_lost_process(error):
        return f"the other processes of this run cannot be reached: {reason(error)}", 1
    if os.environ.get("STEMLODE_DEBUG"):
        raise error
    line = f"{type(error).__name__}: {reason(error)}"
    bug = "a bug of ours; STEMLODE_DEBUG=1 shows where"
    memory = "not enough memory: give smaller sizes, or free some"
    return f"{line} ({memory if _is_lack_of_memory(error) else bug})", 1


def _end() -> NoReturn:
    """End as a signal asked to, whatever threads still do; a rerun goes on."""
    from stemlode.runs import give_up  # noqa: PLC0415

    number = signals.received() or signal.SIGINT
    why = signals.HEEDED[number]
    trace = traceback.format_exc() if sys.exception() else _where()
    noting = threading.Thread(target=give_up, args=(f"{why}\n\n{trace}",), daemon=True)
    noting.start()
    noting.join(NOTING_S)  # a store may not answer
    _complain(f"{why}; run the same command again to resume", 0)
    _flush()
    os._exit(signals.status(number))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _where() -> str:
    """What the main thread is at."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    stack = traceback.format_stack(frame) if frame else []
    return "".join(["Traceback of what did not end (most recent call last):\n", *stack])


def _is_lack_of_memory(error: Exception) -> bool:
    """Python's own kind, and PyTorch's, which is no MemoryError."""
    is_torch = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return is_torch or isinstance(error, MemoryError)


def _is_lost_process(error: Exception) -> bool:
    """What PyTorch raises where processes that train together lose each other."""
    if not isinstance(error, RuntimeError) or "WORLD_SIZE" not in os.environ:
        return False
    is_named = type(error).__name__.startswith("Dist")  # DistNetworkError and its like
    return is_named or any(name in str(error).lower() for name in ("gloo", "nccl"))


def _complain(line: object, status: int) -> int:
    from stemlode.runs import on_one_line  # noqa: PLC0415 - `--help` does without

    print(on_one_line(f"error: {' '.join(str(line).split())}"), file=sys.stderr)
    return status


def _help() -> str:
    lines = [f"  {verb:<15} {sentence}" for verb, (_, _, sentence) in VERBS.items()]
    return "\n".join(
        ["usage: stemlode VERB [options] [Beam options]", "", *lines, "", "stemlode VERB --help"]
    )


def _quiet() -> None:
    """Libraries' warnings are for us, not for users; STEMLODE_DEBUG=1 shows them."""
    if not os.environ.get("STEMLODE_DEBUG"):
        warnings.simplefilter("ignore")
        logging.basicConfig(level=logging.ERROR, format="%(message)s")
