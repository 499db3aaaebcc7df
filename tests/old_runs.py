"""Run folders of an old Stemlode, made by that Stemlode: `python -m tests.old_runs FOLDER`.

The code is taken out of this repository's history, so nothing old is kept beside the new. Made are
the folders of `stemlode demo`, some more, and runs that were killed half-way: the process kills
itself before it gives the n-th of some files its final name.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

# The last commit before the house had wings; what it wrote is version 1 of every table.
COMMIT = "7f2ec6662e3a2c92050474c1efb13d0796e283df"
PROJECT = Path(__file__).resolve().parent.parent
STEPS = 10
INVENTED = 4  # of the 30 songs that the demo makes beside those of a written list
_DONE = "done"

_FINISHED = """
import json, sys

import stemlode
from pipelines import demo, demo_catalogue

demo_catalogue.INVENTED = int(sys.argv[1])
demo.make_music(sys.argv[2])
for words in json.loads(sys.argv[3]):
    if status := stemlode.main(words):
        sys.exit(status)
"""

_KILLED = """
import os, runpy, signal, sys

part, number = sys.argv.pop(1), int(sys.argv.pop(1))
begun = 0

def renamed(event, arguments):
    global begun
    if event == "os.rename" and part in os.fspath(arguments[1]):
        begun += 1
        if begun == number:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(renamed)
sys.argv[0] = "stemlode"
runpy.run_module("stemlode", run_name="__main__", alter_sys=True)
"""


def commands(root: Path) -> dict[str, list[str]]:
    """The command that writes each run folder below `root`, without `--output`."""
    at = {name: str(root / name) for name in ("music", "candidates", "pairs", "corpus", "model")}
    music = root / "music"
    chunks = ["--chunk-seconds", "30", "--split", "train=0.9,valid=0.1"]
    train = ["train", "unet-vocals-small", "--corpus", at["corpus"]]
    label = ["pseudolabel", "--music", str(music / "stems"), "--teacher", at["model"]]
    return {
        "candidates": ["match", "--catalog", str(music / "tracks.parquet")],
        "pairs": ["prune", "--candidates", at["candidates"], "--pairs-per-part", "8"],
        "corpus": ["corpus", "--pairs", at["pairs"], *chunks],
        "model": [*train, "--steps", str(STEPS)],
        "scores": ["evaluate", "--checkpoint", at["model"], "--stems", str(music / "stems")],
        "separated": [
            "separate",
            str(music / "new" / "brass-lantern.flac"),
            "--checkpoint",
            at["model"],
        ],
        "catalogue": ["scan", str(music / "new")],
        "labels": [*label, "--segment-seconds", "2"],
        "longer-model": [*train, "--steps", "12", "--validate-every", "4"],
    }


KILLED = {  # folder below `killed/`: its run, what it was about to write when it was killed
    "pairs": ("/_parts/", 3),
    "corpus": (".part", 11),
    "longer-model": ("/last/state.safetensors", 2),
    "scores": ("/_parts/", 2),
    "labels": (".part", 3),
    "candidates": ("/candidates-", 1),
    "catalogue": ("/run.json", 1),
}


def missing() -> str:
    """Why old runs cannot be made here; empty where they can."""
    found = _git("cat-file", "-e", f"{COMMIT}^{{commit}}")
    return "" if found.returncode == 0 else f"no git history that holds {COMMIT[:12]}"


def build(root: Path) -> None:
    """Make all of them below a folder, unless that was done; other processes wait."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (root / _DONE).exists():
            return
        code = root / "code"
        code.mkdir(exist_ok=True)
        archive = _git("archive", COMMIT)
        archive.check_returncode()
        subprocess.run(["tar", "-x"], cwd=code, input=archive.stdout, check=True)
        every = commands(root)
        finished = [[*words, "--output", str(root / name)] for name, words in every.items()]
        made = [str(INVENTED), str(root / "music"), json.dumps(finished)]
        _python(code, ["-c", _FINISHED, *made], 0)
        for name, (part, number) in KILLED.items():
            words = [*every[name], "--output", str(root / "killed" / name)]
            _python(code, ["-c", _KILLED, part, str(number), *words], -signal.SIGKILL)
        (root / _DONE).touch()


def _python(code: Path, words: list[str], status: int) -> None:
    """Run the old code in this environment; CalledProcessError where it ends otherwise."""
    environment = {**os.environ, "PYTHONPATH": str(code)}
    done = subprocess.run(
        [sys.executable, *words], env=environment, cwd=code, capture_output=True, check=False
    )
    if done.returncode != status:
        sys.stderr.write(done.stderr.decode(errors="replace"))
        raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(PROJECT), *words], capture_output=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(words, 127, b"", b"no git")


if __name__ == "__main__":
    build(Path(sys.argv[1]).absolute())
