"""A review as it stands: what has been judged, what that says of thresholds, and using them."""

import dataclasses
import math
import posixpath
import re
import shlex
from dataclasses import dataclass
from typing import Any

import numpy as np

from matching.sound.decisions import Thresholds
from pipelines.pages.text import brief, plain, visible
from pipelines.prune import thresholds
from pipelines.review import chart, estimates, sound
from pipelines.review.estimates import DifferenceWindow, EstimatedShare, Judged
from pipelines.review.judgements import VERDICTS, Judgements
from pipelines.review.sample import PairSample, SampledPair
from stemlode import files, runs, schemas

SAMPLE, JUDGEMENTS, THRESHOLDS = "sample.json", "judgements.jsonl", "thresholds.json"
CRITERIA = ("widest", "target", "run", "hand")
SETTLED = 0.05  # half the width of an interval that says enough
LONGEST = 300  # characters of a title on the page


@dataclass(frozen=True)
class Wish:
    """What the page asks for: a precision, and thresholds set by hand, if any."""

    target: float
    hand: DifferenceWindow | None = None
    chosen: str = "widest"
    current: int | None = None


class Session:
    """One review. Methods may be called from several threads."""

    def __init__(
        self,
        run: runs.Run,
        scored: str,
        sample: PairSample,
        judgements: Judgements,
        used: DifferenceWindow | None,
    ) -> None:
        """`scored` is the folder that prune wrote, `used` are the thresholds that it used."""
        self.run, self.scored, self.sample = run, scored, sample
        self.judgements, self.used = judgements, used
        self.renderer = sound.Renderer(sample.pairs)
        self._index = {pair.pair_id: i for i, pair in enumerate(sample.pairs)}

    @property
    def verdicts(self) -> list[str | None]:
        """A verdict for every pair of the sample, None where there is none yet."""
        standing = self.judgements.verdicts
        return [standing.get(pair.pair_id) for pair in self.sample.pairs]

    def judge(self, index: int, verdict: str) -> None:
        """Record a verdict. IndexError, ValueError for what does not exist, OSError as of disks."""
        pair = self.sample.pairs[index]
        self.judgements.judge(pair.pair_id, verdict, difference=pair.difference)

    def undo(self, event: int) -> int | None:
        """Take a judgement back; which pair it was, None where that is not in the sample."""
        return self._index.get(self.judgements.undo(event))

    def judged(self) -> Judged:
        """The pairs of which somebody was sure, weighted to stand for the whole table."""
        verdicts = self.verdicts
        sure = [(p, v) for p, v in zip(self.sample.pairs, verdicts, strict=True) if _is_sure(v)]
        return Judged(
            np.array([pair.difference for pair, _ in sure], np.float64),
            np.array([verdict == "pair" for _, verdict in sure], bool),
            estimates.weights([pair.stratum for pair, _ in sure], self.sample.sizes),
            np.array([pair.reachable for pair, _ in sure], bool),
        )

    def windows(self, judged: Judged, wish: Wish) -> dict[str, DifferenceWindow | None]:
        """The thresholds by criterion, None where a criterion has none."""
        return {
            "widest": estimates.widest_window(judged),
            "target": estimates.best_window(judged, wish.target),
            "run": self.used,
            "hand": wish.hand,
        }

    def estimate(self, judged: Judged, window: DifferenceWindow) -> dict[str, Any]:
        """What a window would keep and lose."""
        sample = self.sample
        return {
            "low": window.low,
            "high": window.high,
            "precision": _share(estimates.precision(judged, window)),
            "recall": _share(estimates.recall(judged, window)),
            "keeps": int((sample.reachable & window.holds(sample.difference)).sum()),
        }

    def state(self, wish: Wish) -> dict[str, Any]:
        """All that the page shows beside the pair itself.

        What prune measured and decided of the current pair is in it only where somebody has judged
        the pair; the histogram's pale bars, which show what prune would drop, likewise.
        """
        verdicts, judged = self.verdicts, self.judged()
        windows = self.windows(judged, wish)
        last = self.judgements.last
        pairs = self.sample.pairs
        open_ones = [i for i, verdict in enumerate(verdicts) if verdict is None]
        marks = [(p.difference, v) for p, v in zip(pairs, verdicts, strict=True) if v]
        shown = None if wish.current is None or not verdicts[wish.current] else pairs[wish.current]
        return {
            "current": wish.current,
            "measured": None if shown is None else _measured(shown),
            "verdicts": verdicts,
            "counts": {verdict: verdicts.count(verdict) for verdict in VERDICTS},
            "next": open_ones[0] if open_ones else None,
            "undo": None if last is None else {"event": last[0], "index": self._index.get(last[1])},
            "estimates": {
                name: None if window is None else self.estimate(judged, window)
                for name, window in windows.items()
            },
            "unseen": self._unseen(judged),
            "rate": self._rate(judged),
            "histogram": chart.svg(
                self.sample.difference,
                self.sample.reachable if shown else None,
                marks,
                windows[wish.chosen],
                shown.difference if shown else None,
            ),
        }

    def pair(self, index: int) -> dict[str, Any]:
        """What the page says of a pair that nobody may have judged. IndexError where there is none.

        Nothing that prune measured or decided: it would sway.
        """
        pair = self.sample.pairs[index]
        duration_s = sound.duration(pair)
        return {
            "index": index,
            "title": _line(pair.mix.title),
            "artist": _line(pair.mix.artist),
            "instrumental_title": _line(pair.instrumental.title),
            "instrumental_artist": _line(pair.instrumental.artist),
            "duration_s": duration_s,
            "start_s": sound.first_start(pair, duration_s),
            "excerpt_s": sound.EXCERPT_S,
        }

    def use(self, window: DifferenceWindow, criterion: str, wish: Wish) -> dict[str, str]:
        """Write thresholds for `prune --thresholds`; where, and the command to run next."""
        judged = self.judged()
        verdicts = self.verdicts
        facts = self.estimate(judged, window)
        counts = {verdict: verdicts.count(verdict) for verdict in VERDICTS}
        path = self.run.path(THRESHOLDS)
        thresholds.write(
            path,
            Thresholds(window.low, window.high),
            criterion=criterion,
            target_precision=wish.target if criterion == "target" else None,
            precision=facts["precision"],
            recall=facts["recall"],
            keeps=facts["keeps"],
            judged=counts,
            sample={"pairs": len(self.sample.pairs), **self.run.options},
            scored=self.scored,
        )
        outputs = {name: files.sha256(self.run.path(name)) for name in (SAMPLE, THRESHOLDS)}
        self.run.finish({"sample": len(self.sample.pairs), **counts}, outputs)
        return {"path": path, "command": self.command}

    @property
    def command(self) -> str:
        """What to run next with the thresholds, as it can be typed."""
        scored = self.scored.rstrip("/")
        output = posixpath.join(posixpath.dirname(scored), posixpath.basename(scored) + "-reviewed")
        words = ["--rescore", scored, "--thresholds", self.run.path(THRESHOLDS), "--output", output]
        return shlex.join(["stemlode", "prune", *words, *_other_options(self.sample.limits)])

    def _rate(self, judged: Judged) -> dict[str, Any] | None:
        """The share of pairs so far, and how many sure judgements would settle it."""
        found = estimates.share(judged.is_pair, judged.weight)
        if found is None:
            return None
        worth = estimates.effective(judged.weight) / len(judged.weight)  # of one judgement
        asked = math.ceil(estimates.wanted(found.value, SETTLED) / worth)
        return {
            **dataclasses.asdict(found),
            "within": SETTLED,
            "asked": min(asked, len(self.sample.difference)),
            "all": asked >= len(self.sample.difference),
            "sample": len(self.sample.pairs),
        }

    def _unseen(self, judged: Judged) -> int:
        """Pairs of the table in strata of which nothing sure is known, and so no estimate."""
        return sum(self.sample.sizes.values()) - round(float(judged.weight.sum()))


def _other_options(limits: Thresholds) -> list[str]:
    """The criteria beside the window that prune was told, as it is told again."""
    window = ("d_min", "d_max", "d_sparse")
    names = [field.name for field in dataclasses.fields(Thresholds) if field.name not in window]
    told = {name: getattr(limits, name) for name in names}
    changed = {name: value for name, value in told.items() if value != getattr(Thresholds, name)}
    return [
        word
        for name, value in changed.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]


def _is_sure(verdict: str | None) -> bool:
    return verdict in ("pair", "not_a_pair")


def _share(found: EstimatedShare | None) -> dict[str, float] | None:
    return None if found is None else dataclasses.asdict(found)


def _line(text: str) -> str:
    return str(visible(brief(" ".join(text.split()), LONGEST)))


def _measured(pair: SampledPair) -> dict[str, Any]:
    """What prune found of a pair, for somebody who has judged it."""
    return {
        "metrics": _metrics(pair),
        "decision": plain(pair.decision),
        "reason": _line(pair.reason),
        "subtracted": bool(pair.coherent),
    }


def _metrics(pair: SampledPair) -> list[tuple[str, str, str]]:
    """(name, value, what it is) of what prune measured, as far as it did."""
    lengths = [track.duration_s for track in (pair.mix, pair.instrumental)]
    values = {
        "difference": f"{pair.difference:.3f}",
        "length": " / ".join(_clock(length) for length in lengths),
        "offset": f"{pair.offset_s * 1000:+,.1f} ms",
        "gain": f"{pair.gain_db:+.1f} dB",
        "polarity": "inverted" if pair.polarity < 0 else "same",
        "drift": None if pair.drift_ppm is None else f"{pair.drift_ppm:+,.0f} ppm",
        "confidence": _decimals(pair.alignment_confidence),
        "asymmetry": _decimals(pair.asymmetry, "+"),
        "coherent": None if pair.coherent is None else "yes" if pair.coherent else "no",
    }
    told = {
        "length": "Of the mixture and the instrumental.",
        "difference": _described("difference"),
        "offset": _described("offset_s"),
        "gain": _described("gain_db"),
        "polarity": _described("polarity"),
        "drift": _described("drift_ppm"),
        "confidence": _described("alignment_confidence"),
        "asymmetry": _described("asymmetry"),
        "coherent": _described("coherent"),
    }
    return [(name, _minus(value), told[name]) for name, value in values.items() if value]


def _minus(text: str) -> str:
    """With a sign as it is printed, and none of nothing."""
    text = re.sub(r"^[+-](?=[0.]+(\s|$))", "", text)
    return text.replace("-", "−")


def _described(field: str) -> str:
    return schemas.SCORED_PAIR.field(field).metadata[b"description"].decode()


def _decimals(value: float | None, sign: str = "") -> str | None:
    return None if value is None else f"{value:{sign}.2f}"


def _clock(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return "?"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
