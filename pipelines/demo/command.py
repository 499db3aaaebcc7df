"""`stemlode demo`: the whole flow on music that comes with it, by the commands a user would type.

It makes a catalogue, then calls match, prune, corpus, train, evaluate, separate and report, each
in a process of its own. Every one of them resumes, so running the demo again changes no byte.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.demo import catalogue
from stemlode import files, runs, schemas
from stemlode.arguments import Parser
from stemlode.runs import BadUsage, Failed

ROOT = Path(runs.__file__).parents[1]  # where our packages lie
MUSIC = "music"
FOUND = ("candidates", "pairs", "corpus")
LEARNT = ("model", "scores", "separated", "report")
STEPS = 500
ABOUT = """\
demo: this will fill {output} ({made}), in a few minutes on two cores:

  music      compose a catalogue of {rows:,} tracks, with sound for some of them
  match      find originals and instrumentals that belong together by their titles
  prune      prove these pairs by their sound
  corpus     pack them into shards to train on
  train      train a small separator on them, {steps:,} steps
  evaluate   score it on songs that it has not heard
  separate   separate two songs with it
  report     show all of it on one page

Each command is printed as you could type it. Ctrl-C ends; the same command goes on from there.
"""
# A song is cut into one chunk, of which training takes patches at random; few songs say more so.
CHUNK_SECONDS = 30


@dataclass(frozen=True)
class VerbCall:
    """A verb of the flow, what it is told, and the run folder that it writes."""

    verb: str
    arguments: tuple[str, ...]
    folder: str


def parser(argv: Sequence[str] = ()) -> Parser:
    """The command line."""
    found = Parser(
        prog="stemlode demo",
        description="Make a catalogue of a thousand tracks with music for some, find and verify "
        "its pairs, train a separator on them and separate a song: a few minutes on two cores.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    found.add_argument("--output", metavar="FOLDER", default="demo", help="folder to write")
    found.add_argument("--steps", type=int, default=STEPS, help="training steps")
    return found


def main(argv: Sequence[str]) -> int:
    """Run the demo; the exit status."""
    options = parser(argv).parse(argv)
    if options.steps < 1:
        raise BadUsage(f"--steps {options.steps}: at least 1")
    output = files.absolute(options.output)

    made = "some of it is there" if files.exists(output) else "about 0.7 GB"
    told = {"output": output, "made": made, "rows": catalogue.ROWS, "steps": options.steps}
    print(ABOUT.format(**told), flush=True)
    seconds = {}
    began = time.monotonic()
    make_music(files.join(output, MUSIC))
    seconds["music"] = time.monotonic() - began
    for step in flow(output, options.steps):
        started = time.monotonic()
        call(step)
        seconds[step.verb] = time.monotonic() - started
    print(summary(output, flow(output, options.steps), seconds))
    return 0


def make_music(folder: str) -> None:
    """The catalogue with its audio, and songs with true stems to be scored on."""
    print(f"demo: composing music for a catalogue of {catalogue.ROWS:,} tracks", flush=True)
    done = "composed" if catalogue.build(folder) else "already complete"
    print(f"demo: {done} in {folder}")
    if catalogue.clip_path() is None:
        print("demo: without the real clip, which comes with `pip install stempeg`")


def flow(output: str, steps: int) -> list[VerbCall]:
    """The commands, in order; each reads what one before it wrote."""
    music = files.join(output, MUSIC)
    candidates, pairs, corpus = (files.join(output, name) for name in FOUND)
    model, scores, separated, report = (files.join(output, name) for name in LEARNT)
    tracks = files.join(music, catalogue.TRACKS)
    stems = files.join(music, catalogue.STEMS)
    songs = [path for name in catalogue.NEW if files.exists(path := files.join(music, name))]
    chunks = ("--chunk-seconds", str(CHUNK_SECONDS), "--split", "train=0.9,valid=0.1")
    training = ("unet-vocals-small", "--corpus", corpus, "--steps", str(steps))
    return [
        VerbCall("match", ("--catalog", tracks), candidates),
        VerbCall("prune", ("--candidates", candidates), pairs),
        VerbCall("corpus", ("--pairs", pairs, *chunks), corpus),
        VerbCall("train", training, model),
        VerbCall("evaluate", ("--checkpoint", model, "--stems", stems), scores),
        VerbCall("separate", (*songs, "--checkpoint", model), separated),
        VerbCall("report", (candidates, pairs, corpus, model, scores, separated), report),
    ]


def call(step: VerbCall) -> None:
    """Run one verb as a user would, in a process of its own; Failed where it fails."""
    words = [step.verb, *step.arguments, "--output", step.folder]
    print(f"\n$ {shlex.join(['stemlode', *words])}", flush=True)
    # -P and our own place first: a folder of the user's named `training` must not win.
    ours = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-P", "-m", "stemlode", *words]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": ours}) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:  # which a terminal sends to both, and others only to us
            process.terminate()
            raise
    if status != 0:
        raise Failed(
            f"demo: `stemlode {step.verb}` ended with exit status {status}, see above; "
            "run the demo again to resume"
        )


def summary(output: str, steps: Sequence[VerbCall], seconds: dict[str, float]) -> str:
    """The table at the end, from the runs' records, and where to look and listen."""
    records = {step.verb: runs.record(step.folder) for step in steps if step.verb != "report"}
    matched, pruned, cut = (records[verb]["counts"] for verb in ("match", "prune", "corpus"))
    scores = records["evaluate"]["scores"]  # of the vocals of songs that no pair holds
    rows = [
        ("tracks read", f"{matched['tracks_read']:,}"),
        ("  rejected", f"{matched['rejected']:,}"),
        ("candidates", f"{matched['candidates']:,}"),
    ]
    for decision in reversed(schemas.DECISIONS):
        if pruned.get(decision):
            rows.append((f"  {decision.replace('_', ' ')}", f"{pruned[decision]:,}"))
    rows += [
        ("segments", f"{cut['samples']:,}"),
        ("hours", f"{cut['hours']:.2f}"),
        ("SDR of the mixture", f"{scores['vocals_usdr_mixture']:.2f} dB"),
        ("SDR of the estimate", f"{scores['vocals_usdr_estimate']:.2f} dB"),
        ("", ""),
        *((verb, f"{taken:.1f} s") for verb, taken in seconds.items()),
        ("in all", f"{sum(seconds.values()):.1f} s"),
    ]
    separated = steps[-2].folder
    page = files.join(steps[-1].folder, "report.html")
    link = Path(page).as_uri() if files.is_local(page) else page
    paths = [f"separated  {files.join(separated, name)}" for name in records["separate"]["outputs"]]
    table = [f"{name:<28}{value:>10}".rstrip() for name, value in rows]
    return "\n".join(
        ["", *table, "", *paths, "", "open the page, to see and hear all of it:", link]
    )
