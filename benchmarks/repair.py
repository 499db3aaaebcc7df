"""What mending pairs gives: hours, and how true the voices are that are written of them.

    python -m benchmarks.repair [--songs NAME ...] [--codecs [KIND:KBITS ...]]
                                [--changes NAME ...] [--seconds 45] [--notes FILE]
    python -m benchmarks.repair --cost [--songs NAME ...]

Real songs (STEMLODE_TEST_DATA, default ../shared/data beside the project) whose instrumental runs
at another speed, drifts like tape, or was edited: written as files, scored as `prune` scores them
and cut into chunks as `corpus` cuts them, with and without `--repair`. A row a change and a codec:
pairs, how many give samples, seconds of samples and of written voices without and with repairs, and
the least SDR of a pair's written voice in dB, of lossy files relative to that of the undisturbed
pair through the same codec. What is done is noted in a file, so that a sweep that ends early goes
on. `--cost`: processor time of `prune` on songs of which every tenth needs a repair.
"""

import argparse
import contextlib
import dataclasses
import functools
import itertools
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile

from benchmarks import sound_cases, voice_cases, voices
from benchmarks.voice_cases import RATE, Case, Passage
from benchmarks.voices import LOSSLESS, Workbench
from matching.sound.decisions import Thresholds
from matching.sound.repairs import varispeed
from matching.sound.scores import Settings
from pipelines.prune.scoring import Listener
from stemlode import schemas

DATA = Path(os.environ.get("STEMLODE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
CODECS = (("mp3", 128), ("mp3", 320), ("m4a", 256), ("opus", 128))
SPEEDS_PPM = (5, -30, 100, 1000, -10_000, 10_000)
WOWS = ((5e-5, 20.0), (2e-4, 30.0), (1e-3, 20.0), (1e-3, 10.0))  # depth, period in s
CUT_S, INTRO_S = 5.0, 8.0
Change = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", nargs="+", default=list(sound_cases.SONGS[:5]))
    parser.add_argument(
        "--codecs",
        nargs="*",
        type=_coding,
        metavar="KIND:KBITS",
        help="through encoders: these, or {}".format(" ".join("{}:{}".format(*c) for c in CODECS)),
    )
    parser.add_argument("--changes", nargs="+", default=[*changes()], help="of these alone")
    parser.add_argument("--seconds", type=float, default=45.0, help="of every song, at most")
    parser.add_argument("--notes", type=Path, help="a file to note outcomes in, and to go on from")
    parser.add_argument("--cost", action="store_true", help="processor time instead")
    given = parser.parse_args()
    if given.cost:
        for row in cost(given.songs):
            print(row)
        return
    notes = [json.loads(text) for text in _lines(given.notes)]
    known = {(note["song"], note["change"], note["coding"]) for note in notes}
    passages = {n: voice_cases.passage(DATA, n, given.seconds) for n in given.songs}
    codings = (LOSSLESS,) if given.codecs is None else given.codecs or CODECS
    with contextlib.ExitStack() as stack:
        benches = [stack.enter_context(bench) for bench in _benches()]
        # All songs through all codecs before the next change: a sweep that ends early has seen all.
        for change, coding, name in itertools.product(given.changes, codings, given.songs):
            key = (name, change, "{} {}".format(*coding))
            if key in known:
                continue
            note: dict[str, object] = dict(zip(("song", "change", "coding"), key, strict=True))
            note |= _outcomes(benches, passages[name], change, coding)
            notes.append(note)
            if given.notes:
                with given.notes.open("a") as file:
                    file.write(json.dumps(note) + "\n")
    for row in table(notes):
        print(row)


def _coding(text: str) -> tuple[str, int]:
    kind, _, kbits = text.partition(":")
    return kind, int(kbits)


def _benches() -> tuple[Workbench, Workbench, Workbench]:
    """Without repairs, with those that are on by default, and with all."""
    copies = voices.Copies()
    return (
        Workbench(Settings(repair=False), follow_level=False, only_used=True, copies=copies),
        Workbench(only_used=True, copies=copies),
        Workbench(equalise=True, only_used=True, copies=copies),
    )


def _outcomes(
    benches: Sequence[Workbench], passage: Passage, change: str, coding: tuple[str, int]
) -> dict[str, object]:
    """What becomes of a change to a passage without and with repairs."""
    case = case_of(passage, change)
    best = None
    if coding != LOSSLESS:
        in_mixture = change.endswith(IN_MIXTURE)  # undisturbed, both are of the other master
        best = _best_of_case(case, coding) if in_mixture else _best_of(passage, coding)
    plain, mended, equalised = benches
    bench = equalised if change.removesuffix(IN_MIXTURE) in EQUALISED else mended
    return {
        "before": _told(plain.outcome(case, coding, best)),
        "after": _told(bench.outcome(case, coding, best)),
    }


_Best = tuple[np.ndarray, np.ndarray]
_BEST: dict[tuple[str, tuple[str, int]], _Best] = {}  # of undisturbed passages, by song and codec


def _best_of(passage: Passage, coding: tuple[str, int]) -> _Best:
    key = (passage.song, coding)
    if key not in _BEST:
        _BEST[key] = voices.best_of(passage, coding)
    return _BEST[key]


def _best_of_case(case: Case, coding: tuple[str, int]) -> _Best:
    return voices.best_of(Passage(case.song, case.mixture - case.voice, case.voice), coding)


def _lines(path: Path | None) -> list[str]:
    return path.read_text().splitlines() if path is not None and path.exists() else []


def _told(outcome: voices.Outcome) -> dict[str, object]:
    facts = dataclasses.asdict(dataclasses.replace(outcome, case=None))  # type: ignore[arg-type]
    del facts["case"], facts["coding"]
    return facts | {"is_true": outcome.is_true}


def changes() -> dict[str, Change]:
    """What is done to an instrumental, by name."""
    found: dict[str, Change] = {"nothing": lambda x: x}
    found |= {f"{ppm:+d} ppm": faster(ppm) for ppm in SPEEDS_PPM}
    for depth, period in WOWS:
        found[f"wow of {100 * depth:g} % in {period:g} s"] = wow(depth, period)
    found |= {"another intro": intro, "5 s cut out": shortened, "5 s more": longer}
    for name in ("faded by 1 dB", "compressed 1.2:1, slowly", "limited by 3 dB"):
        found[name] = voice_cases.CHANGES[name]
    found |= {"fades out": faded(lambda t: np.minimum(0, 12 - t))}
    found |= {"turned up and down": faded(lambda t: 3 * np.sin(2 * np.pi * t / 18))}
    return found | EQUALISED


def faded(curve: Change) -> Change:
    """At another level, in dB by seconds."""
    return lambda x: x * 10 ** (curve(np.arange(x.shape[1]) / RATE) / 20).astype(np.float32)


def shelf(hz: float, gain_db: float, side: str) -> Change:
    """A shelf of second order, as in equalisers (R. Bristow-Johnson's cookbook)."""
    a, w = 10 ** (gain_db / 40), 2 * math.pi * hz / RATE
    c = math.cos(w) if side == "low" else -math.cos(w)
    s, root = math.sin(w) / math.sqrt(2), math.sqrt(a)
    b = [(a + 1) - (a - 1) * c + 2 * root * s, 2 * ((a - 1) - (a + 1) * c)]
    d = [(a + 1) + (a - 1) * c + 2 * root * s, -2 * ((a - 1) + (a + 1) * c)]
    b = [*b, (a + 1) - (a - 1) * c - 2 * root * s]
    d = [*d, (a + 1) + (a - 1) * c - 2 * root * s]
    turn = 1 if side == "low" else -1
    b, d = [a * b[0], turn * a * b[1], a * b[2]], [d[0], turn * d[1], d[2]]
    return lambda x: scipy.signal.lfilter(b, d, x).astype(np.float32)


def bell(hz: float, gain_db: float, q: float) -> Change:
    """A peak or a dip, likewise."""
    a, w = 10 ** (gain_db / 40), 2 * math.pi * hz / RATE
    alpha = math.sin(w) / 2 / q
    b = [1 + alpha * a, -2 * math.cos(w), 1 - alpha * a]
    d = [1 + alpha / a, -2 * math.cos(w), 1 - alpha / a]
    return lambda x: scipy.signal.lfilter(b, d, x).astype(np.float32)


def _high_pass(x: np.ndarray) -> np.ndarray:
    poles = scipy.signal.butter(2, 30, "high", fs=RATE, output="sos")
    return scipy.signal.sosfilt(poles, x).astype(np.float32)


def _after(*changes: Change) -> Change:
    return lambda x: functools.reduce(lambda y, change: change(y), changes, x)


EQUALISED: dict[str, Change] = {
    "above 3 kHz +1 dB": voice_cases.CHANGES["above 3 kHz +1 dB"],
    "shelf above 4 kHz +3 dB": shelf(4000, 3, "high"),
    "shelf below 120 Hz -3 dB": shelf(120, -3, "low"),
    "tilted by 6 dB": _after(shelf(200, -3, "low"), shelf(4000, 3, "high")),
    "high-pass at 30 Hz": _high_pass,
    "another master": _after(
        shelf(90, 2, "low"), bell(300, -2, 0.8), bell(2500, 1.5, 1.2), shelf(9000, 3, "high")
    ),
}
IN_MIXTURE = " in the mixture"  # the name of a change that is not the instrumental's ends so


def case_of(passage: Passage, change: str) -> Case:
    """A pair of a passage."""
    a, v = passage.accompaniment, passage.vocals
    done = changes()[change.removesuffix(IN_MIXTURE)]
    if change.endswith(IN_MIXTURE):
        return Case(change, "mixture", passage.song, done(a + v), a, done(v))
    return Case(change, "instrumental", passage.song, a + v, done(a), v)


def _read_at(x: np.ndarray, places: np.ndarray) -> np.ndarray:
    room = 2 * varispeed.HALF
    padded = np.pad(x, ((0, 0), (room, room)))
    places = places[(places >= 0) & (places < x.shape[1] - 1)]
    starts = range(0, len(places), 1 << 15)
    parts = [varispeed.interpolated(padded, places[s : s + (1 << 15)] + room) for s in starts]
    return np.concatenate(parts, axis=1)


def faster(ppm: float) -> Change:
    """At another speed."""
    return lambda x: sound_cases.faster(x, RATE, ppm)


def wow(depth: float, period: float) -> Change:
    """Faster and slower by up to `depth`, as tape is."""

    def change(x: np.ndarray) -> np.ndarray:
        times = np.arange(x.shape[1]) / RATE
        swing = depth * period / (2 * np.pi) * (1 - np.cos(2 * np.pi * times / period))
        return _read_at(x, (times + swing) * RATE)

    return change


def _other(frames: int, like: np.ndarray) -> np.ndarray:
    """Another recording's beginning, as loud."""
    path = sorted((DATA / "audio/instrumental").iterdir())[0]
    with soundfile.SoundFile(path) as file:
        found = file.read(frames, dtype="float32", always_2d=True).T
    return found * np.float32(like.std() / max(float(found.std()), 1e-9))


def intro(x: np.ndarray) -> np.ndarray:
    """With another recording in the place of its first seconds."""
    frames = round(INTRO_S * RATE)
    return np.concatenate([_other(frames, x), x[:, frames:]], axis=1)


def shortened(x: np.ndarray) -> np.ndarray:
    """Without some seconds in its middle."""
    middle, frames = x.shape[1] // 2, round(CUT_S * RATE)
    return np.concatenate([x[:, : middle - frames // 2], x[:, middle + frames // 2 :]], axis=1)


def longer(x: np.ndarray) -> np.ndarray:
    """With another recording in its middle."""
    middle, frames = x.shape[1] // 2, round(CUT_S * RATE)
    return np.concatenate([x[:, :middle], _other(frames, x), x[:, middle:]], axis=1)


def table(notes: list[dict[str, object]]) -> Iterator[str]:
    """Markdown, a row a change and a codec."""
    yield "| change | codec | pairs | in the corpus | samples | voices | worst | not true |"
    yield "|---|---|---|---|---|---|---|---|"
    keys = dict.fromkeys((str(note["change"]), str(note["coding"])) for note in notes)
    for change, coding in keys:
        rows = [note for note in notes if (note["change"], note["coding"]) == (change, coding)]
        told = []
        for side in ("before", "after"):
            outcomes = [dict(row[side]) for row in rows]  # type: ignore[call-overload]
            used = [one for one in outcomes if one["used"]]
            samples = sum(one["chunks"] for one in used) * voices.CHUNK_S
            told.append((len(used), samples, sum(one["written"] for one in used) * voices.CHUNK_S))
        reached = [
            one["sdr_db"] - (one["best_db"] or 0.0)
            for one in outcomes
            if one["used"] and one["sdr_db"] is not None
        ]
        worst = f"{min(reached):.1f}" if reached else "–"
        wrong = sum(one["used"] and not one["is_true"] for one in outcomes)
        (used_0, samples_0, voices_0), (used_1, samples_1, voices_1) = told
        yield (
            f"| {change} | {coding} | {len(rows)} | {used_0} → {used_1} "
            f"| {samples_0:.0f} → {samples_1:.0f} s | {voices_0:.0f} → {voices_1:.0f} s "
            f"| {worst} | {wrong} |"
        )


_TURNS = 8  # of what nine pairs in ten are


def cost(songs: list[str]) -> Iterator[str]:
    """Processor time of decoding, comparing and deciding, with every tenth pair in need."""
    needs = [
        *(f"{ppm:+d} ppm" for ppm in SPEEDS_PPM),
        *(f"wow of {100 * depth:g} % in {period:g} s" for depth, period in WOWS),
        *("another intro", "5 s cut out", "5 s more", "fades out"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in songs:
            passage = voice_cases.passage(DATA, name, 45.0)
            spent: dict[tuple[str, bool], float] = {}
            mixture = _mp3(f"{folder}/{name}.mp3", passage.accompaniment + passage.vocals)
            for change in ("nothing", *needs):
                case = case_of(passage, change)
                pair = _candidate(mixture, _mp3(f"{folder}/instrumental.mp3", case.instrumental))
                turns = range(_TURNS if change == "nothing" else 2)
                found = [[_cpu_s(pair, repair) for repair in (False, True)] for _ in turns]
                spent[change, False], spent[change, True] = map(min, zip(*found, strict=True))
            yield f"{name}: {1000 * spent['nothing', False]:.0f} ms for a pair in no need"
            yield from _told_cost(spent, needs)


def _told_cost(spent: dict[tuple[str, bool], float], needs: list[str]) -> Iterator[str]:
    """Markdown: a row a kind of need, ms of a pair, and how many times the time without repairs a
    catalogue takes of which a tenth of the pairs, or all, are of it; last, as many of each."""
    yield "| in need of | without repairs | with | a tenth of a catalogue | all of it |"
    yield "|---|---|---|---|---|"
    for kinds in (*([need] for need in needs), needs):
        (easy_0, hard_0), (easy_1, hard_1) = (
            (
                spent["nothing", repair],
                math.fsum(spent[kind, repair] for kind in kinds) / len(kinds),
            )
            for repair in (False, True)
        )
        times = (0.9 * easy_1 + 0.1 * hard_1) / (0.9 * easy_0 + 0.1 * hard_0)
        what = kinds[0] if len(kinds) == 1 else "as many of each"
        yield (
            f"| {what} | {1000 * hard_0:.0f} ms | {1000 * hard_1:.0f} ms | {times:.2f} "
            f"| {hard_1 / hard_0:.1f} |"
        )


def _mp3(uri: str, samples: np.ndarray) -> str:
    """A file of samples, as most are."""
    sound_cases.encode(uri, samples, RATE, "mp3", 320)
    return uri


def _candidate(*uris: str) -> dict[str, object]:
    """Of the files of a mixture and an instrumental."""
    track = dict.fromkeys(schemas.TRACK.names)
    row = dict.fromkeys(schemas.CANDIDATE.names) | {"pair_id": "p", "song_id": "s"}
    for role, uri in zip(("mix", "instrumental"), uris, strict=True):
        row |= {f"{role}_audio_uri": uri, f"{role}_track_id": role, role: track}
    return row


def _cpu_s(pair: dict[str, object], repair: bool) -> float:
    listener = Listener(Settings(repair=repair), Thresholds(repair=repair))
    try:
        listener.hear([pair])
        begun, decoding = time.process_time(), listener.decoder_cpu_s
        listener.hear([pair])
        return time.process_time() - begun + listener.decoder_cpu_s - decoding
    finally:
        listener.close()


if __name__ == "__main__":
    main()
