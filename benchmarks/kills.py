"""Verbs are killed at random, again and again, and give the bytes of a run that was left alone.

    python -m benchmarks.kills [--kills N] [--seed S] [VERB …]

Each verb works on a few songs that are made here. Kills are SIGKILL to the process and all that it
started, of three kinds in turn: right before a change to the disk below the output (a file opened
for writing, renamed or removed, a folder removed), some milliseconds after one (so while a file is
being written), and after a random share of the time that the run takes. Each attempt goes on where
the last one was killed; when one gets through, the outputs and their names are compared with the
undisturbed run's, and the next begins in a new folder. The limit is that no byte differs.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stemlode import cli, runs
from training import log, state

KILLS = 25
SONGS, RATE, SECONDS = 5, 16_000, 4.0
HOWS = ("before a change", "while writing", "by time")
MOST = 3  # kills of one run, which then is let through
PATIENCE_S = 900  # for an attempt that is not to be killed
PLAIN = "tests.training.teachers.plain_teachers:halves"
# What depends on how long something took is left out.
TIMED = ("seconds", "segments_per_s", "data_wait", "utilisation")
UNLIKE = (runs.PLAN, runs.RECORD, runs.SUCCESS, state.LAST)
PHASES = ("before the plan", "before the first part", "between parts", "at the end")

# By name: the verb and its command line, in which an earlier run's folder stands in braces.
VERBS: dict[str, tuple[str, str]] = {
    "scan": ("scan", "{songs}"),
    "match-duckdb": ("match", "--catalog {scan} --engine duckdb"),
    "match-beam": ("match", "--catalog {scan} --engine beam --buckets 4"),
    "prune": ("prune", "--candidates {match-duckdb} --pairs-per-part 1"),
    "corpus": (
        "corpus",
        "--pairs {prune} --chunk-seconds 1 --sample-rate 8000 --shard-bytes 100kB "
        "--split train=0.6,valid=0.4",
    ),
    "pseudolabel": (
        "pseudolabel",
        f"--music {{songs}} --teacher {PLAIN} --segment-seconds 1 --device cpu "
        "--shard-bytes 300kB --batch-size 4",
    ),
    "train": (
        "train",
        "unet-vocals --corpus {corpus} --channels 2,3,4 --n-fft 256 --hop-length 192 "
        "--patch-frames 16 --batch-size 2 --steps 40 --validate-every 5 --patience 99 "
        "--log-every 1 --workers 1 --cache-gb 0.01 --ema-decay 0.9 --device cpu",
    ),
}


@dataclass
class Tally:
    """What was done to one verb."""

    kills: int = 0
    runs: int = 0  # that got through after kills
    phases: Counter[str] = field(default_factory=Counter)
    hows: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0  # that the undisturbed run took


def make_songs(folder: Path, songs: int = SONGS) -> None:
    """Songs and their instrumentals, with titles that say so."""
    folder.mkdir()
    for number in range(songs):
        draw = np.random.default_rng(number)
        t = np.arange(round(SECONDS * RATE)) / RATE
        chords = sum(0.1 * np.sin(2 * np.pi * f * t + 3) for f in draw.uniform(100, 900, 4))
        low = draw.uniform(200, 400)
        glide = 2 * np.pi * (low * t + 12 * np.sin(2 * np.pi * draw.uniform(0.5, 2) * t))
        voice = sum(0.2 / k * np.sin(k * glide) for k in range(1, 6))
        hiss = 0.02 * draw.standard_normal((2, t.size))
        backing = chords * np.array([[0.8], [1.0]]) + hiss * (1 + np.sin(2 * np.pi * t))
        for title, sound in (("", backing + voice), (" (Instrumental)", backing)):
            path = folder / f"Ann - Song number {number}{title}.flac"
            soundfile.write(path, (0.5 * sound).T, RATE, subtype="PCM_16")


def words_of(verb: str, folders: dict[str, Path]) -> list[str]:
    """A verb's command line, without --output."""
    name, words = VERBS[verb]
    return [name, *(word.format_map(folders) for word in words.split())]


def kill_and_rerun(verb: str, folders: dict[str, Path], kills: int, seed: int) -> Tally:
    """Run a verb, kill it so often, and compare; AssertionError where anything differs.

    `folders` has the inputs; the undisturbed run is added to it.
    """
    draw = random.Random(f"{verb} {seed}")
    words, tally = words_of(verb, folders), Tally()
    import_module(cli.VERBS[words[0]][0])  # once, and not in each attempt
    root = folders["songs"].parent / verb
    root.mkdir()
    whole = folders[verb] = root / "whole"
    tally.seconds, died, changes = attempt(words, whole)
    assert not died and (whole / runs.SUCCESS).exists(), f"{verb}: the undisturbed run failed"
    if not kills:  # a later verb reads it
        return tally
    wanted = bytes_of(whole)
    here = 0  # kills in this folder: later ones all fall late
    while tally.kills < kills:
        output = root / str(tally.runs)
        how = HOWS[tally.kills % len(HOWS)] if here < MOST else None
        place = draw.randint(1, changes)
        if how is None:
            _, died, _ = attempt(words, output)
        elif how == "by time":
            _, died, _ = attempt(words, output, patience=draw.uniform(0, tally.seconds))
        else:
            delay = draw.uniform(0, 0.02) if how == "while writing" else None
            _, died, _ = attempt(words, output, dies_at=place, delay=delay)
        if died and how is not None:
            tally.kills, here = tally.kills + 1, here + 1
            tally.hows[how] += 1
            tally.phases[phase_of(output)] += 1
        else:
            _compare(verb, output, wanted, seed)
            tally.runs, here = tally.runs + 1, 0
    output = root / str(tally.runs)
    _, died, _ = attempt(words, output)
    assert not died
    _compare(verb, output, wanted, seed)
    tally.runs += 1
    return tally


def attempt(
    words: list[str],
    output: Path,
    *,
    dies_at: int | None = None,
    delay: float | None = None,
    patience: float = PATIENCE_S,
) -> tuple[float, bool, int]:
    """Run a command in a forked process group: its seconds, whether it was killed, its changes.

    It is killed at its change number `dies_at`, or so long after it, or when `patience` ends.
    """
    note = output.with_suffix(".changes")
    started = time.monotonic()
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        changes = Changes(str(output), dies_at, delay)
        sys.addaudithook(changes.see)
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - before the hook counts it
            sys.stdout = sys.stderr = nowhere
            status = cli.main([*words, "--output", str(output)])
            note.write_text(f"{changes.count}")
            os._exit(status)
    killed = False
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if not killed and time.monotonic() - started > patience:
            killed = _kill(child)
        time.sleep(0.002)
    died = os.WIFSIGNALED(status)
    assert died or not os.WEXITSTATUS(status), f"{words[0]} failed in {output}: {_why(output)}"
    count = int(note.read_text()) if note.exists() and not died else 0
    return time.monotonic() - started, died, count


@dataclass
class Changes:
    """Counts changes to the disk below a folder, and kills at one of them."""

    below: str
    dies_at: int | None
    delay: float | None
    count: int = 0

    def see(self, event: str, args: tuple[Any, ...]) -> None:
        """An audit hook."""
        change = event in ("os.rename", "os.remove", "os.rmdir")
        opened = event == "open" and isinstance(args[1], str) and args[1][0] in "wax"
        if (change or opened) and str(args[0]).startswith(self.below):
            self.count += 1
            if self.count == self.dies_at:
                if self.delay is None:
                    os.killpg(0, signal.SIGKILL)
                else:
                    threading.Timer(self.delay, os.killpg, (0, signal.SIGKILL)).start()


def _kill(group: int) -> bool:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:  # it has no group yet, or has just ended
        return False
    return True


def phase_of(output: Path) -> str:
    """How far a killed run was."""
    names = [str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()]
    if runs.PLAN not in names:
        return PHASES[0]
    if runs.RECORD in names or any("-of-" in name for name in names):
        return PHASES[3]
    others = [name for name in names if name not in runs.OWN]
    return PHASES[2] if others else PHASES[1]


def bytes_of(output: Path) -> dict[str, str]:
    """The SHA-256 of each file of a finished run, but for what says how long something took."""
    found = {}
    for path in sorted(output.rglob("*")):
        name = str(path.relative_to(output))
        if path.is_dir():
            continue
        data = b"" if name in UNLIKE else path.read_bytes()
        if name == log.FILE:
            data = b"\n".join(_untimed(data))
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def _untimed(log: bytes) -> Iterator[bytes]:
    for line in log.splitlines():
        row = {key: value for key, value in json.loads(line).items() if key not in TIMED}
        yield json.dumps(row, sort_keys=True).encode()


def _compare(verb: str, output: Path, wanted: dict[str, str], seed: int) -> None:
    found = bytes_of(output)
    unlike = sorted({name for name, _ in found.items() ^ wanted.items()})
    assert not unlike, f"{verb} (seed {seed}): {', '.join(unlike)} in {output}"


def _why(output: Path) -> str:
    error = output / runs.ERROR
    return error.read_text() if error.exists() else "no _ERROR.txt"


def main() -> None:
    """Print a line for each verb."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("verbs", nargs="*", metavar="VERB", help=", ".join(VERBS))
    parser.add_argument("--kills", type=int, default=KILLS, help=f"of each verb ({KILLS})")
    parser.add_argument("--seed", type=int, help="of the kills; a random one by default")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 30) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folders = {"songs": Path(name) / "songs"}
        make_songs(folders["songs"])
        for verb in VERBS:
            asked = not given.verbs or verb in given.verbs
            tally = kill_and_rerun(verb, folders, given.kills if asked else 0, seed)
            if asked:
                phases = ", ".join(f"{tally.phases[phase]} {phase}" for phase in PHASES)
                print(
                    f"{verb}: {tally.kills} kills in {tally.runs} runs ({phases}); the same bytes; "
                    f"undisturbed {tally.seconds:.1f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
