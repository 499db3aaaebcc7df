"""How true the voices are that `corpus` writes of pairs, against voices that are known.

    python -m benchmarks.voices [--codecs] [--songs NAME ...] [--seconds 24] [--every]

Cases are those of `voice_cases.py`, of real songs (STEMLODE_TEST_DATA, default ../shared/data
beside the project): written as files, scored as `prune` scores them, cut into chunks as `corpus`
cuts them. A row a change: pairs, how many are kept, chunks, of how many the voice is written, and
the least SDR of a pair's written voice in dB. With `--codecs`, both go through an encoder, and the
least SDR is told relative to that of the undisturbed pair.
"""

import argparse
import dataclasses
import hashlib
import math
import os
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from benchmarks import sound_cases, voice_cases
from benchmarks.voice_cases import RATE, Case, Passage
from matching.sound.decisions import Thresholds
from matching.sound.scores import Settings
from pipelines.prune.scoring import Listener
from pipelines.samples.pair_chunks import pair_chunks
from pipelines.samples.recordings import Facts, Shape, of_pair, usable
from stemlode import audio, schemas

DATA = Path(os.environ.get("STEMLODE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
CHUNK_S = 6.0
LATE_FRAMES, GAIN = 7000, -0.7  # of every instrumental, beside what a case does to it
LOSSLESS = ("wav", 0)
CODECS = (("mp3", 128), ("mp3", 320), ("m4a", 128), ("opus", 128))
THROUGH_CODECS = (
    "nothing", "swapped", "right inverted", "mono", "left on both", "right 1 dB down",
    "right 12 dB down", "right 1 frame late", "above 3 kHz +4 dB", "limited by 6 dB",
    "compressed 1.2:1", "noise at -25 dB",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a case; `sdr_db` is None where nothing is written, `best_db` what the
    undisturbed pair gives in the same chunks through the same codec."""

    case: Case
    coding: tuple[str, int]
    decision: str
    chunks: int
    written: int
    sdr_db: float | None
    worst_db: float | None  # of a chunk
    best_db: float | None
    leftover_db: float | None
    used: bool  # by `corpus`

    @property
    def is_true(self) -> bool:
        """As true as a written voice must be: through a codec as true as the codec lets it be."""
        if self.sdr_db is None:
            return True
        return self.sdr_db >= (20.0 if self.best_db is None else self.best_db - 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codecs", action="store_true", help="through encoders")
    parser.add_argument("--songs", nargs="+", default=list(sound_cases.SONGS))
    parser.add_argument("--seconds", type=float, default=24.0, help="of every song")
    parser.add_argument("--every", action="store_true", help="also a line for every pair")
    given = parser.parse_args()
    outcomes = []
    with Workbench() as bench:
        for name in given.songs:
            passage = voice_cases.passage(DATA, name, given.seconds)
            found = bench.coded(passage) if given.codecs else bench.lossless(passage)
            for outcome in found:
                outcomes.append(outcome)
                if given.every or not outcome.is_true:
                    print(line(outcome), flush=True)
    for row in table(outcomes):
        print(row)


class Copies:
    """Recordings written as files, through an encoder or not: the latest, each once, as encoding
    takes longer than most of what is measured."""

    MOST = 40

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._held: OrderedDict[tuple[object, ...], tuple[str, float]] = OrderedDict()
        self._late: dict[str, int] = {}

    def of(self, samples: np.ndarray, coding: tuple[str, int]) -> tuple[str, float]:
        """A file of samples [2, frames], and the level that the encoder was given them at."""
        key = (hashlib.sha256(np.ascontiguousarray(samples)).hexdigest(), coding)
        if key not in self._held:
            uri, level = f"{self._folder.name}/{key[0]}-{coding[1]}.{coding[0]}", 1.0
            if coding == LOSSLESS:
                soundfile.write(uri, samples.T, RATE, subtype="FLOAT")
            else:
                level = sound_cases.encode(uri, samples, RATE, *coding)
            self._held[key] = uri, level
        self._held.move_to_end(key)
        if len(self._held) > self.MOST:
            _, (old, _) = self._held.popitem(last=False)
            Path(old).unlink()
            self._late.pop(old, None)
        return self._held[key]

    def late(self, uri: str, samples: np.ndarray) -> int:
        """Frames by which such a file is later than its samples."""
        if uri not in self._late:
            self._late[uri] = _late(audio.read(uri, sample_rate=RATE).samples, samples)
        return self._late[uri]

    def close(self) -> None:
        """Deletes them."""
        self._folder.cleanup()


class Workbench:
    """Files in a folder, and a decoding process. `equalise` and `follow_level` are options of
    `corpus`; `only_used`: what it does not take is not cut. `copies` may be shared."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        equalise: bool = False,
        follow_level: bool = True,
        only_used: bool = False,
        copies: Copies | None = None,
    ) -> None:
        self._copies = copies or Copies()
        self._listener = Listener(settings or Settings(), Thresholds())
        self._shape = Shape(CHUNK_S, RATE, 2, follow_level=follow_level, equalise=equalise)
        self._only_used = only_used

    def __enter__(self) -> "Workbench":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._copies.close()

    def lossless(self, passage: Passage, changes: tuple[str, ...] = ()) -> Iterator[Outcome]:
        """Of a passage."""
        for case in voice_cases.cases(passage, changes):
            yield self.outcome(case)

    def coded(
        self,
        passage: Passage,
        changes: tuple[str, ...] = THROUGH_CODECS,
        codecs: Iterable[tuple[str, int]] = CODECS,
    ) -> Iterator[Outcome]:
        """Of a passage, through encoders."""
        for coding in codecs:
            best = best_of(passage, coding)
            for case in voice_cases.cases(passage, changes):
                yield self.outcome(case, coding, best)

    def outcome(
        self,
        case: Case,
        coding: tuple[str, int] = LOSSLESS,
        best: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Outcome:
        """A case written, scored and cut. `best`: what the undisturbed pair gives, its voice."""
        uris, level, late = {}, 1.0, 0
        given = {"mix": case.mixture, "instrumental": _elsewhere(case.instrumental)}
        for role, samples in given.items():
            uris[role], found = self._copies.of(samples, coding)
            if role == "mix" and coding != LOSSLESS:
                level, late = found, self._copies.late(uris[role], samples)
        row = self._scored(uris)
        facts, pieces, others = Facts(), [], []
        taken = np.eye(2, dtype=np.float32)
        if row["channel_gains"] is not None and len(row["channel_gains"]) == 2:
            taken = np.float32([row["mono_gains"], row["mono_gains"]])
        used, cut = usable(row, use_parts=True), []
        if used or not self._only_used:
            cut = [*pair_chunks(of_pair(row), RATE, self._shape, round(CHUNK_S * RATE), facts)]
        for chunk in cut:
            if "vocals" in chunk.integers:
                got = chunk.integers["vocals"] * np.float32(chunk.scale / 32768 / level)
                pieces.append((late - chunk.first_frame, got, taken @ case.voice))
                if best is not None:
                    same = best[0][:, chunk.first_frame :][:, : got.shape[1]]
                    others.append((late - chunk.first_frame, taken @ same, taken @ best[1]))
        each = [sdr_db([piece]) for piece in pieces]
        return Outcome(
            case, coding, row["decision"], len(cut), len(pieces),
            sdr_db(pieces) if pieces else None, min(each, default=None),
            sdr_db(others) if others else None, facts.leftover_db, used,
        )  # fmt: skip

    def _scored(self, uris: dict[str, str]) -> dict[str, object]:
        track = dict.fromkeys(schemas.TRACK.names)
        candidate = dict.fromkeys(schemas.CANDIDATE.names) | {"pair_id": "p", "song_id": "s"}
        for role, uri in uris.items():
            candidate |= {f"{role}_audio_uri": uri, f"{role}_track_id": role, role: track}
        measures = self._listener.hear([candidate]).measures["p"]
        return candidate | measures


def best_of(passage: Passage, coding: tuple[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The voice that the undisturbed pair gives through an encoder, and the true one."""
    plain = voice_cases.case(passage, "nothing", "instrumental")
    copies = [
        _at_rate(*sound_cases.encoded(part, RATE, *coding))
        for part in (plain.mixture, _elsewhere(plain.instrumental))
    ]
    backing = copies[1][:, LATE_FRAMES:] / np.float32(GAIN)
    frames = min(copies[0].shape[1], backing.shape[1])
    return copies[0][:, :frames] - backing[:, :frames], plain.voice


def sdr_db(pieces: Iterable[tuple[int, np.ndarray, np.ndarray]]) -> float:
    """Of pieces of a voice together: (frames by which it is late, what came out, the true one)."""
    power = error = 1e-20
    for late, got, true in pieces:
        frames = np.arange(got.shape[1]) - late
        known = (frames >= 0) & (frames < true.shape[1])
        want = np.zeros_like(got)
        want[:, known] = true[:, frames[known]]
        power += float(np.sum(want**2, dtype=float))
        error += float(np.sum((got - want)[:, known] ** 2, dtype=float))
    return 10 * math.log10(power / error)


def line(outcome: Outcome) -> str:
    """A pair's."""
    case = outcome.case
    told = [
        case.song, *map(str, outcome.coding), case.change, case.side, outcome.decision,
        f"{outcome.written}/{outcome.chunks}",
        *(f"{name} {value:.1f}" for name, value in (
            ("sdr", outcome.sdr_db), ("chunk", outcome.worst_db), ("best", outcome.best_db),
            ("left", outcome.leftover_db),
        ) if value is not None),
        "" if outcome.is_true else "NOT TRUE",
    ]  # fmt: skip
    return " | ".join(told)


def table(outcomes: Iterable[Outcome]) -> list[str]:
    """Markdown: a row a change and a coding."""
    rows: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        coding = "" if outcome.coding == LOSSLESS else "{} {}".format(*outcome.coding)
        rows.setdefault((outcome.case.change, coding), []).append(outcome)
    lines = [
        "| change | codec | pairs | kept | chunks | written | worst |",
        "|---|---|---|---|---|---|---|",
    ]
    for (change, coding), found in rows.items():
        counts: Counter[str] = Counter()
        for outcome in found:
            counts["kept"] += outcome.decision == "kept"
            counts["chunks"] += outcome.chunks
            counts["written"] += outcome.written
        reached = [
            outcome.sdr_db - (outcome.best_db or 0.0)
            for outcome in found
            if outcome.sdr_db is not None
        ]
        worst = format(min(reached), "+.1f" if coding else ".1f") if reached else "–"
        lines.append(
            f"| {change} | {coding} | {len(found)} | {counts['kept']} | {counts['chunks']} "
            f"| {counts['written']} | {worst} |"
        )
    return lines


def _elsewhere(instrumental: np.ndarray) -> np.ndarray:
    """Late, inverted and softer, as all are."""
    silence = np.zeros((2, LATE_FRAMES), np.float32)
    return np.concatenate([silence, instrumental * np.float32(GAIN)], axis=1)


def _at_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    return audio.resample(samples, rate, RATE)


def _late(copy: np.ndarray, original: np.ndarray) -> int:
    return round(sound_cases.delay_s(copy, RATE, original, RATE) * RATE)


if __name__ == "__main__":
    main()
