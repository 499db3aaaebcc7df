"""What the sound says of pairs whose truth is known: decisions, offsets, and false certainty.

    python -m benchmarks.sound [--soft] [--full-seconds 20] [--worst]

Real songs (from STEMLODE_TEST_DATA, default ../shared/data beside the project) in the cases of
`sound_cases.py`. A row a case: pairs, how many are decided as they should be, the largest error of
an offset, the least confidence where the offset is right, and how many are wrong and sure: kept
though they should not be, or their offset off by more than 1 ms or their speed by more than 2 %
of its change, with a confidence that decisions trust. Last, what comparing costs beside decoding.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import sound_cases
from benchmarks.sound_cases import LOW, Case
from matching.sound.decisions import Thresholds, decide
from matching.sound.repairs.repair import score
from matching.sound.scores import Scores, Settings, TrimmedSignal
from stemlode import audio

PROJECT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STEMLODE_TEST_DATA", PROJECT.parent / "shared" / "data"))
MOST_S = 0.001


@dataclass(frozen=True)
class Outcome:
    """What came of a case."""

    case: Case
    scores: Scores
    decision: str
    reason: str

    @property
    def right(self) -> bool:
        return self.decision == self.case.expected

    @property
    def offset_error_s(self) -> float | None:
        """None where there is no right offset."""
        if self.case.offset_s is None:
            return None
        return abs(self.scores.offset_s - self.case.offset_s)

    @property
    def drift_error(self) -> float | None:
        """As a share of the drift; None where there is none."""
        if self.case.drift_ppm is None:
            return None
        return abs((self.scores.drift_ppm or 0.0) / self.case.drift_ppm - 1)

    @property
    def wrong_and_sure(self) -> bool:
        if (self.scores.alignment_confidence or 0.0) < Thresholds().min_confidence:
            return False
        false_keep = self.decision == "kept" != self.case.expected
        return (
            false_keep or (self.offset_error_s or 0.0) > MOST_S or (self.drift_error or 0.0) > 0.02
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full-seconds", type=float, default=20.0, help="of every full song")
    parser.add_argument("--soft", action="store_true", help="soft voices and their copies instead")
    parser.add_argument("--worst", action="store_true", help="also list all that is not right")
    given = parser.parse_args()
    outcomes = list(heard(soft(DATA) if given.soft else cases(DATA, given.full_seconds)))
    for line in table(outcomes):
        print(line)
    if not given.soft:
        for line in cost(DATA):
            print(line)
    if given.worst:
        for outcome in outcomes:
            if not outcome.right or outcome.wrong_and_sure:
                print(
                    outcome.case.name, "|", outcome.case.song, "|", outcome.decision, "|", end=" "
                )
                print(outcome.reason, "|", outcome.scores)


def cases(data: Path, full_seconds: float) -> Iterator[Case]:
    """All cases over all songs."""
    songs = sound_cases.songs(data)
    full = sound_cases.full(data, full_seconds)
    other = full["Dead Smiling Pirates - I"]
    for number, song in enumerate(songs):
        yield from sound_cases.true_pairs(song, other)
        yield from sound_cases.through_codecs(song)
        yield from sound_cases.wrong_pairs(song, songs[number - 1], other)
        yield from sound_cases.copies(song.name, song.mixture, song.rate, (64, 128))
    for name, samples in full.items():
        yield from sound_cases.copies(name, samples, 44_100, (64,))
    sounds = {name: sound_cases.low(samples, 44_100) for name, samples in full.items()}
    sounds |= {song.name: sound_cases.low(song.mixture, song.rate) for song in songs}
    yield from sound_cases.unrelated(sounds)


def soft(data: Path) -> Iterator[Case]:
    """Mixtures with softer and softer voices, and copies of them through encoders."""
    for name in sound_cases.SOFT:
        song = sound_cases.song(data, name)
        yield from sound_cases.soft_voices(song)
        yield from sound_cases.soft_copies(song)


def heard(given: Iterable[Case]) -> Iterator[Outcome]:
    """Compare and decide."""
    settings = Settings(sample_rate=LOW)
    for case in given:
        x, y = (
            TrimmedSignal(s.astype(np.float32), settings) for s in (case.mixture, case.instrumental)
        )
        found = score(x, y)
        yield Outcome(case, found, *decide(found, Thresholds()))


def cost(data: Path) -> Iterator[str]:
    """Processor time to align and compare a song with another master, and to decode both."""
    paths = sorted((data / "audio/mixes").iterdir())
    for path in paths[2:4]:
        decoding = min(_cpu_s(lambda path=path: _decode(path)) for _ in range(3))
        samples = audio.read(str(path), sample_rate=LOW, mono=True).samples[0]
        louder = np.concatenate([np.zeros(5000, np.float32), np.clip(samples * 2, -0.5, 0.5)])
        comparing = min(_cpu_s(lambda x=samples, y=louder: _compare(x, y)) for _ in range(3))
        ratio = comparing / (2 * decoding)
        yield f"{path.name}: {len(samples) / LOW:.0f} s twice: decoding {2000 * decoding:.0f} ms, "
        yield f"  aligning, comparing and deciding {1000 * comparing:.0f} ms, {ratio:.2f} of it"


def _cpu_s(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _decode(path: Path) -> None:
    for _ in audio.blocks(str(path)):
        pass


def _compare(x: np.ndarray, y: np.ndarray) -> None:
    settings = Settings(sample_rate=LOW)
    decide(score(TrimmedSignal(x, settings), TrimmedSignal(y, settings)), Thresholds())


def table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """A Markdown table, a row a case."""
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.case.name, outcome.case.expected].append(outcome)
    yield "| case | should be | pairs | so decided | offset error | confidence | wrong and sure |"
    yield "|---|---|---|---|---|---|---|"
    for (name, expected), group in groups.items():
        yield _row(name, expected, group)
    yield _row("**all**", "", [outcome for group in groups.values() for outcome in group])


def _row(name: str, expected: str, group: list[Outcome]) -> str:
    right = sum(outcome.right for outcome in group)
    errors = [o.offset_error_s for o in group if o.offset_error_s is not None]
    error = f"{1000 * max(errors):.3f} ms" if errors else ""
    sure = sorted(outcome.scores.alignment_confidence or 0.0 for outcome in group)
    false = sum(outcome.wrong_and_sure for outcome in group)
    span = f"{sure[0]:.2f}–{sure[-1]:.2f}"
    return f"| {name} | {expected} | {len(group)} | {right} | {error} | {span} | {false} |"


if __name__ == "__main__":
    main()
