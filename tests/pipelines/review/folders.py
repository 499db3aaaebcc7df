"""Scored folders with sound to review, and the review as a user starts it."""

import contextlib
import dataclasses
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stemlode import audio, schemas
from tests.pipelines.report import folders

RATE = 44_100
SECONDS = 4.0


def chord(seed: int, seconds: float = SECONDS) -> np.ndarray:
    """[2, frames] of an accompaniment: three steady notes, alike in both channels."""
    time = np.arange(round(seconds * RATE)) / RATE
    notes = 110 * 2 ** (np.random.default_rng(seed).integers(0, 24, 3) / 12)
    sound = sum(0.12 * np.sin(2 * np.pi * note * time) for note in notes)
    return np.stack([sound, sound]).astype(np.float32)


def voice(seconds: float = SECONDS) -> np.ndarray:
    """[2, frames] of something sung: a trill far above the chord."""
    time = np.arange(round(seconds * RATE)) / RATE
    sound = 0.2 * np.sin(2 * np.pi * 1500 * time + 9 * np.sin(2 * np.pi * 5 * time))
    return np.stack([sound, sound]).astype(np.float32)


def scored(
    folder: Path, rows: Sequence[Mapping[str, Any]], options: Mapping[str, Any] | None = None
) -> Path:
    """A finished run of prune that holds these pairs."""
    run = folders.start("prune", folder, options or {"d_min": 0.15, "d_max": 0.7})
    folders.table(run, "pairs", rows, schemas.SCORED_PAIR)
    return folders.finish(run, {"candidates": len(rows)})


def with_sound(folder: Path, count: int, title: str = "Song {}") -> Path:
    """A scored folder of pairs that can be heard, their differences from 0.02 on, 0.1 apart.

    The same two files serve all of them.
    """
    sounds = folder.parent / "sounds"
    audio.write(str(sounds / "instrumental.wav"), chord(1), RATE)
    audio.write(str(sounds / "mixture.wav"), chord(1) + voice(), RATE)
    rows = []
    for i in range(count):
        row = folders.pair(
            title.format(i),
            difference=0.02 + 0.1 * i,
            mix=str(sounds / "mixture.wav"),
            instrumental=str(sounds / "instrumental.wav"),
        )
        rows.append(row | {"offset_s": 0.0, "gain_db": 0.0, "polarity": 1})
    return scored(folder, rows)


@dataclasses.dataclass
class Running:
    """A review that runs: its process, and its address in parts."""

    process: subprocess.Popen[str]
    port: int
    token: str
    said: str

    @property
    def url(self) -> str:
        """Where its page is."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        method: str = "",
        headers: Mapping[str, str] | None = None,
        whole: bool = False,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer; `whole` paths are not put below the token."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        sent = {"content-type": "application/json"} if body is not None else {}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        with contextlib.closing(connection):
            connection.request(
                method or ("GET" if body is None else "POST"),
                path if whole else f"/{self.token}/{path}",
                data,
                sent | dict(headers or {}),
            )
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()

    def json(self, path: str, body: Any = None) -> Any:
        """What a good request is answered with."""
        status, _, data = self.ask(path, body)
        assert status == 200, (status, data)
        return json.loads(data)

    def end(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """Ask it to end, or kill it: its exit status, and all that it printed."""
        self.process.send_signal(how)
        rest, errors = self.process.communicate(timeout=300)
        return self.process.returncode, self.said + rest, errors


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[Running]:
    """`stemlode review FOLDER --no-browser …` in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stemlode", "review", str(folder), "--no-browser", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None and process.stderr is not None
    said, found = "", None
    try:
        while found is None:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
            found = re.search(r"http://127\.0\.0\.1:(\d+)/([\w-]+)/", line)
        yield Running(process, int(found[1]), found[2], said)
    finally:
        process.kill()
        process.communicate()


def verdicts(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of judgements."""
    return [json.loads(line) for line in path.read_text().splitlines()]
