"""Every verb on stores that fail: the bytes of a clean run at 20 % faults, one line at 100 %.

What a verb reads lies in the one store and what it writes in the other, so that a run of
all of them meets both.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile

from benchmarks import kills
from tests.faulty_proxy import FAULTS, Proxy, faulty
from tests.stores import served

PROJECT = Path(__file__).resolve().parents[2]
SILENT_S = "1"  # after which a client gives up an answer
TIME_OUTS = 0.15  # for each fault of another kind: they take their second
FAILS_WITHIN_S = 3000  # all verbs, where every request fails: none waits for ever
STORES = ("gs", "s3")
SONGS, SONG, FIRST = 2, "Ann - Song number 0.flac", "song 0"
SHORT = "--validate-every 2 --patience 9 --log-every 1 --workers 0 --cache-gb 0.01 --device cpu"
# In words that name runs before them.
VERBS = {
    "scan": "scan {songs}",
    "match": "match --catalog {scan} --engine duckdb",
    "match-beam": "match --catalog {scan} --engine beam --buckets 2",
    "prune": "prune --candidates {match} --pairs-per-part 1",
    "corpus": "corpus --pairs {prune} --stems {stems} --chunk-seconds 2 --sample-rate 8000 "
    "--shard-bytes 100kB --split train=0.6,valid=0.4 --fingerprints off --seed 21",
    "pseudolabel": "pseudolabel --music {songs} --teacher {plain} --segment-seconds 2 --device cpu "
    "--shard-bytes 300kB --batch-size 4",
    "verify": "verify {corpus}",
    "train": "train bsrnn-vocals --others accompaniment --corpus {corpus} --sample-rate 8000 "
    "--n-fft 256 --hop-length 128 --bands 1000,500,4000,1000 --features 6 "
    "--layers 1 --hidden 6 --mask-hidden 8 --steps 4 "
    f"--patch-seconds 0.4 --batch-size 2 {SHORT}",
    "evaluate": "evaluate --corpus {corpus} --split valid --checkpoint {train} --device cpu",
    "separate": "separate {songs}/{song} --checkpoint {train} --device cpu",
    "finetune": "finetune {train} --labelled {corpus} --unlabelled {songs} --steps 4 " + SHORT,
    "salience": "salience --corpus {corpus} --device cpu",
    "pitch": "pitch {songs}/{song}",
    "export": "export {train}",
    "perturb": "perturb {cut} --stems {stems}/{first} --model {train} --iterations 2 --device cpu",
    "perturb-songs": "perturb-songs --stems {stems} --model {train} --iterations 2 --device cpu",
    "perturb-corpus": "perturb-songs --corpus {corpus} --model {train} --iterations 2 --device cpu",
    "report": "report {prune} {corpus} {train} {evaluate}",
    "review": "review {prune} --no-browser",
}
WRITES_NOTHING = ("verify",)
WRITES_HERE = ("review",)  # what must be on disk at once
WRITES_FILES = {"report": ".html", "export": ".onnx"}
# Verbs in one process, since what they import takes longer than what they do here.
RUN = """
import contextlib, io, json, sys
from stemlode import cli, files
from tests import stores
stores.hurry()
for words in json.load(sys.stdin):
    said, found = io.StringIO(), {}
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        if words[0] == "copy":
            files.write_bytes(words[2], open(words[1], "rb").read())
            status = 0
        elif words[0] == "read":
            found = {path: files.sha256(path) for path in files.list_files(words[1])}
            status = 0
        else:
            if words[0] == "review":  # which else serves its page until it is ended
                from pipelines.review import server
                server.serve = lambda app, at: None
            status = cli.main(words)
    print(json.dumps([status, said.getvalue(), found]), flush=True)
"""


@dataclass
class Stores:
    """Two stores behind proxies, and the environment in which they are found."""

    proxies: list[Proxy]
    environment: dict[str, str]
    folder: Path  # of this machine

    def fail(self, rate: float) -> None:
        for proxy in self.proxies:
            proxy.rate = rate


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Stores behind proxies that do no harm yet."""
    proxies, environment = [], {**os.environ, "STEMLODE_TIMEOUT_S": SILENT_S}
    with ExitStack() as stack:
        for kind in STORES:
            log = tmp_path_factory.mktemp(kind) / "log"
            address, facts = stack.enter_context(served(kind, log))
            proxies.append(stack.enter_context(faulty(address, 0, time_outs=TIME_OUTS)))
            environment |= {k: v.replace(address, proxies[-1].address) for k, v in facts.items()}
        yield Stores(proxies, environment, tmp_path_factory.mktemp("here"))


def _run(stores: Stores, commands: list[list[str]], timeout_s: float = 3600) -> list[list[Any]]:
    """For each command its exit status, what it said on stderr and what it read."""
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=json.dumps(commands), env=stores.environment,
        cwd=PROJECT, capture_output=True, text=True, check=False, timeout=timeout_s,
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(commands), done.stderr
    return found


def _place(number: int, output: str, verb: str) -> str:
    return f"{STORES[number % 2]}://bucket/{output}/{verb}"


def _commands(stores: Stores, output: str) -> list[list[str]]:
    """Each verb on the clean run's folders, from one store into the other."""
    at = {verb: _place(number, "clean", verb) for number, verb in enumerate(VERBS)}
    at |= {
        "songs": "s3://bucket/songs",
        "stems": "gs://bucket/stems",
        "cut": "gs://bucket/cut/0.flac",
        "first": FIRST,
        "plain": kills.PLAIN,
        "song": SONG,
    }
    found = []
    for number, (verb, words) in enumerate(VERBS.items()):
        place = _place(number, output, verb) + WRITES_FILES.get(verb, "")
        place = f"{stores.folder}/{output}/{verb}" if verb in WRITES_HERE else place
        writes = [] if verb in WRITES_NOTHING else ["--output", place]
        found.append([*(word.format_map(at) for word in words.split()), *writes])
    return found


def _read(stores: Stores, output: str) -> dict[str, str]:
    """What lies in both stores of an output, by name; what says how long something took is left
    out."""
    found: dict[str, str] = {}
    places = [*(f"{kind}://bucket/{output}" for kind in STORES), f"{stores.folder}/{output}"]
    for *_, held in _run(stores, [["read", place] for place in places]):
        found |= {path.partition(f"/{output}/")[2]: sha256 for path, sha256 in held.items()}
    timed = (*kills.UNLIKE, kills.log.FILE, ".html")
    return {name: "" if name.endswith(timed) else sha256 for name, sha256 in found.items()}


@pytest.fixture(scope="module")
def clean(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bytes of each verb's outputs where nothing fails."""
    folder = tmp_path_factory.mktemp("songs") / "songs"
    kills.make_songs(folder, SONGS)
    pairs = sorted(folder.iterdir())
    copies = [["copy", str(path), f"s3://bucket/songs/{path.name}"] for path in pairs]
    for number, (backing, mixture) in enumerate(zip(pairs[::2], pairs[1::2], strict=True)):
        (whole, rate), (rest, _) = soundfile.read(mixture), soundfile.read(backing)
        cut = {f"stems/song {number}/vocals": whole - rest}
        cut |= {f"stems/song {number}/accompaniment": rest, f"cut/{number}": whole}
        for name, sound in cut.items():
            path = folder / f"{name.replace('/', ' ')}.flac"
            soundfile.write(path, sound[: 2 * rate], rate)
            copies.append(["copy", str(path), f"gs://bucket/{name}.flac"])
    done = _run(stores, [*copies, *_commands(stores, "clean")])
    assert not [row for row in done if row[0]]
    return _read(stores, "clean")


@pytest.mark.slow
def test_a_fifth_of_all_requests_failing_changes_no_byte(
    stores: Stores, clean: dict[str, str]
) -> None:
    written = {name.partition("/")[0].partition(".")[0] for name in clean}
    assert written == {*VERBS} - {*WRITES_NOTHING}
    commands = _commands(stores, "faulty")
    stores.fail(0.2)
    try:
        done = _run(stores, commands)
    finally:
        stores.fail(0)
    # What failed says so in a line; run again, it ends like the others.
    failed = [(words, row) for words, row in zip(commands, done, strict=True) if row[0]]
    assert all(_is_one_line(said) for _, (_, said, _) in failed), failed
    if failed:
        assert not any(status for status, *_ in _run(stores, [words for words, _ in failed]))
    assert _read(stores, "faulty") == clean
    for proxy in stores.proxies:
        assert all(proxy.done[fault] for fault in FAULTS), proxy.done


@pytest.mark.slow
def test_stores_that_always_fail_end_each_verb_with_one_line(
    stores: Stores, clean: dict[str, str]
) -> None:
    commands = _commands(stores, "nothing")
    stores.fail(1)
    try:
        done = _run(stores, commands, FAILS_WITHIN_S)
    finally:
        stores.fail(0)
    for words, (status, said, _) in zip(commands, done, strict=True):
        assert status == 1 and _is_one_line(said), (words, status, said)
    assert not [name for name in _read(stores, "nothing") if name.endswith(kills.runs.SUCCESS)]


def _is_one_line(said: str) -> bool:
    """Whether there is one error, beside notices of what is waited for."""
    lines = [line for line in said.splitlines() if not line.startswith("waiting for ")]
    return len(lines) == 1 and lines[0].startswith("error: ")
