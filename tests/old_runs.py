"""Run folders of an old Stemlode, made by that Stemlode: `python -m tests.old_runs FOLDER`.

The code is taken out of this repository's history, so nothing old is kept beside the new. Made are
the folders of `stemlode demo`, some more, and runs that were killed half-way: the process kills
itself before it gives the n-th of some files its final name.
"""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

# The last commit before the house had wings; what it wrote is version 1 of every table.
COMMIT = "7f2ec6662e3a2c92050474c1efb13d0796e283df"
PROJECT = Path(__file__).resolve().parent.parent
STEPS = 10
INVENTED = 4  # of the 30 songs that the demo makes beside those of a written list
_DONE = "done"

# Runs after one another, each in a fork of a process that has imported what all of them need.
_MADE = """
import json, os, signal, sys
from importlib import import_module

import stemlode
from pipelines import demo, demo_catalogue

def killed_at(part, number):
    begun = [0]
    def renamed(event, arguments):
        if event == "os.rename" and part in os.fspath(arguments[1]):
            begun[0] += 1
            if begun[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(renamed)

def music(folder, invented):
    demo_catalogue.INVENTED = invented
    demo.make_music(folder)

def forked(call, *arguments):
    child = os.fork()
    if not child:
        try:
            status = call(*arguments) or 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
            status = 70
        sys.stderr.flush()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def run(words, part="", number=0):
    if part:
        killed_at(part, number)
    return stemlode.main(words)

given = json.load(sys.stdin)
for module in {module for words, *_ in given["runs"] for module in [stemlode.VERBS[words[0]][0]]}:
    import_module(module)
if forked(music, *given["music"]):
    sys.exit("no music")
for words, part, number in given["runs"]:
    status = forked(run, words, part, number)
    if status != (-signal.SIGKILL if part else 0):
        sys.exit(f"{words}: ended with {status}")
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
        made = [[[*words, "--output", str(root / name)], "", 0] for name, words in every.items()]
        for name, (part, number) in KILLED.items():
            words = [*every[name], "--output", str(root / "killed" / name)]
            made.append([words, part, number])
        given = {"music": [str(root / "music"), INVENTED], "runs": made}
        done = subprocess.run(
            [sys.executable, "-c", _MADE], input=json.dumps(given), text=True, cwd=code,
            env={**os.environ, "PYTHONPATH": str(code)}, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.stderr.write(done.stderr)
            done.check_returncode()
        (root / _DONE).touch()


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(PROJECT), *words], capture_output=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(words, 127, b"", b"no git")


if __name__ == "__main__":
    build(Path(sys.argv[1]).absolute())
