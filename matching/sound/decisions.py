"""What becomes of a pair once it has been heard (thesis section 3.5.2: d_min ≤ d < d_max).

Every criterion reads stored measures alone, so that other thresholds need no audio. Measured at
mono 8192 Hz, 1024/768, on seven multitracks and nine full songs:

    pair                                     difference  asymmetry   bass   confidence  spread
    the same recording, another level           0.00        any        1     0.7–1.0
    … re-encoded at 64 kbit/s and more        0.00–0.25  −0.33…0.32  ≥ 0.9   0.7–1.0   ≤ 0.23
    … equalised                               0.02–0.19  −1.0…1.0     1.0    0.7–1.0   ≤ 0.06
    mixture and accompaniment                 0.21–0.37   0.7–0.9     1.0    0.6–0.95   ≥ 0.5
    … its voice 12 dB softer                  0.09–0.11   0.6–0.7     1.0    0.6–0.98   ≥ 0.26
    accompaniment and mixture: swapped        0.24–0.53  −0.9…−0.5    1.0    0.6–0.95
    mixture and a cappella                    0.52–0.91   0.9–1.0    ≤0.01   0.2–0.97
    unrelated recordings                        ≥ 0.85        –        –        0

A real original and its instrumental from another master have been seen at 0.42. So d_max lies half
way between true pairs and unrelated ones. What an encoder adds is much the same on both sides and
at any time, a voice is on one side and comes and goes: by that a soft or sparse one is told from an
encoder's noise. One that is softer still is lost, which is what the thesis asks for: "optimized for
high quality rather than quantity".
"""

from dataclasses import dataclass

from matching.sound.scores import Scores

D_MIN = 0.15
D_MAX = 0.70
D_SPARSE = 0.03
_D_COPIES = 0.3  # no encoder adds as much


@dataclass(frozen=True)
class Thresholds:
    """Every number on which a decision depends.

    A pair is kept where d_min ≤ difference < d_max and nothing below forbids it; down to d_sparse
    where what the mixture holds more of is surely no encoder's.
    """

    d_min: float = D_MIN
    d_max: float = D_MAX
    d_sparse: float = D_SPARSE
    min_spread: float = 0.2  # of the surplus over time, in some band; encoders reach 0.23
    sparse_asymmetry: float = 0.5  # below d_min; encoders reach 0.33
    min_asymmetry: float = 0.3  # by how much either must hold more, −1…1
    min_confidence: float = 0.2  # of the alignment; unrelated recordings reach none
    max_drift_ppm: float = 30.0  # 6 ms over a song of 200 s
    min_share: float = 0.9  # of the mixture that must match
    min_part: float = 0.1  # of the mixture that matches where a part does
    min_bass: float = 0.3  # correlation below which the bass is missing
    max_rest: float = 0.25  # of the mixture where the instrumental may be silent
    repair: bool = True  # pairs whose speed or level was repaired may be kept
    on_sum: bool = False  # d_min and d_max are of eq. 3.8's plain sum; for pairs without alignment


def decide(scores: Scores, thresholds: Thresholds) -> tuple[str, str]:
    """A pair's decision and its criterion in words, with the numbers.

    The first of these that holds; those marked * only where the alignment is sure (confidence ≥
    min_confidence), for what they read means nothing elsewhere. A measure that is None forbids
    nothing; without alignment (confidence None) the thesis' window alone decides.

    * `too_similar`: difference < d_min, unless* it is at least d_sparse, asymmetry ≥
      sparse_asymmetry and surplus_spread ≥ min_spread: a voice that is soft or seldom heard; or*
      where at least min_share matches, neither holds more (|asymmetry| < min_asymmetry and the
      difference is below d_max) or what one holds more of never comes and goes (surplus_spread <
      min_spread and the difference is below 0.3, which no encoder reaches): two mixes, two
      instrumentals, one recording from two encoders.
    * `swapped`*: asymmetry ≤ −min_asymmetry: the "instrumental" holds more.
    * `a_cappella`*: bass_correlation < min_bass, or rest_share > max_rest.
    * `partly`*: min_part ≤ matched_share < min_share. Of a pair whose parts were aligned each by
      itself (`repaired` says `parts`), all measures but matched_share are of these parts, and all
      other criteria come first: such a pair would be kept if its parts were all of it.
    * `misaligned`: |drift_ppm| > max_drift_ppm*, unless its speed was repaired, or matched_share <
      min_part*, or no sure alignment although the difference is below d_max; without `repair`, all
      whose speed or level was.
    * `too_different`: difference ≥ d_max, or not a number.
    * `kept`: all else.
    """
    d, low, high = scores.difference, thresholds.d_min, thresholds.d_max
    if thresholds.on_sum:
        return _by_sum(scores.difference_sum, low, high)
    soft = d < low and _is_sparse(scores, thresholds)
    if d < low and not soft:
        return "too_similar", f"difference {d:.3f} is below {low:g}"
    found = _by_alignment(scores, thresholds)
    if found:
        return found
    if not d < high:
        return "too_different", f"difference {d:.3f} is not below {high:g}"
    if _has(scores, "parts"):
        return "partly", f"{_matching(scores)}, each aligned by itself: {_spans(scores)}"
    why = f"difference {d:.3f} is in {low:g}…{high:g}"
    if soft:
        why = f"difference {d:.3f} is in {thresholds.d_sparse:g}…{low:g}, asymmetry "
        why += f"{scores.asymmetry:.2f}, spread {scores.surplus_spread:.2f}: a voice"
    return "kept", why


def _by_sum(d: float, low: float, high: float) -> tuple[str, str]:
    """The thesis' window on the sum as it stands, which grows with length and level."""
    if d < low:
        return "too_similar", f"sum of differences {d:.4g} is below {low:g}"
    if not d < high:
        return "too_different", f"sum of differences {d:.4g} is not below {high:g}"
    return "kept", f"sum of differences {d:.4g} is in {low:g}…{high:g}"


def _is_sparse(scores: Scores, limits: Thresholds) -> bool:
    """Whether the little that differs is a voice's: on one side, and at some times alone."""
    confidence, spread = scores.alignment_confidence, scores.surplus_spread
    return (
        scores.difference >= limits.d_sparse
        and scores.asymmetry >= limits.sparse_asymmetry
        and (confidence is not None and confidence >= limits.min_confidence)
        and (spread is not None and spread >= limits.min_spread)
    )


def _by_alignment(scores: Scores, limits: Thresholds) -> tuple[str, str] | None:
    """What an alignment, or the lack of one, says against a pair."""
    confidence = scores.alignment_confidence
    if confidence is None:
        return None
    similar = scores.difference < limits.d_max
    if confidence < limits.min_confidence:
        why = f"no sure alignment: confidence {confidence:.2f} is below {limits.min_confidence:g}"
        return ("misaligned", why) if similar else None
    share, least = scores.matched_share, limits.min_asymmetry
    parts = _has(scores, "parts")
    whole = share is None or share >= limits.min_share or parts
    if similar and whole and abs(scores.asymmetry) < least:
        why = f"asymmetry {scores.asymmetry:.2f} is within ±{least:g}: neither holds more"
        return "too_similar", why
    spread = scores.surplus_spread
    if (
        whole
        and scores.difference < _D_COPIES
        and spread is not None
        and spread < limits.min_spread
    ):
        why = f"what is over never comes and goes: spread {spread:.2f} is below "
        return "too_similar", why + f"{limits.min_spread:g}"
    if scores.asymmetry <= -least:
        why = (
            f"asymmetry {scores.asymmetry:.2f} is not above {-least:g}: the instrumental holds more"
        )
        return "swapped", why
    return _a_cappella(scores, limits) or _in_part(scores, limits)


def _a_cappella(scores: Scores, limits: Thresholds) -> tuple[str, str] | None:
    bass, rest = scores.bass_correlation, scores.rest_share
    if bass is not None and bass < limits.min_bass:
        why = f"the bass is missing: correlation {bass:.2f} is below {limits.min_bass:g}"
        return "a_cappella", why
    if rest is not None and rest > limits.max_rest:
        why = (
            f"the instrumental rests in {rest:.0%} of the mixture, more than {limits.max_rest:.0%}"
        )
        return "a_cappella", why
    return None


def _in_part(scores: Scores, limits: Thresholds) -> tuple[str, str] | None:
    share, drift = scores.matched_share, scores.drift_ppm
    partly = share is not None and limits.min_part <= share < limits.min_share
    if partly and not _has(scores, "parts"):
        return "partly", f"{_matching(scores)}, below {limits.min_share:.0%}: {_spans(scores)}"
    even = _has(scores, "speed", "wow")
    if (even or _has(scores, "level")) and not limits.repair:
        return "misaligned", f"its {scores.repaired} was repaired, which does not count here"
    if drift is not None and abs(drift) > limits.max_drift_ppm and not even:
        how = f"{abs(drift):.0f} ppm {'faster' if drift > 0 else 'slower'}"
        why = f"drift: the instrumental runs {how}, more than {limits.max_drift_ppm:g}"
        return "misaligned", why
    if share is not None and share < limits.min_part:
        return "misaligned", f"{share:.0%} of the mixture matches, below {limits.min_part:.0%}"
    return None


def _has(scores: Scores, *repairs: str) -> bool:
    """Whether one of these was repaired."""
    return not {*repairs}.isdisjoint((scores.repaired or "").split("+"))


def _matching(scores: Scores) -> str:
    return f"{scores.matched_share or 0.0:.0%} of the mixture matches"


def _spans(scores: Scores) -> str:
    found = [f"{start:.0f}–{end:.0f} s" for start, end in scores.matched_spans or []]
    return ", ".join(found) or "none"
