"""What becomes of a pair once it has been heard (thesis section 3.5.2: d_min ≤ d < d_max).

Thresholds are on the normalised, gain-matched difference after alignment. Measured at mono
8192 Hz, 1024/768, on seven multitracks and nine full songs:

    the same recording, another level                                  0.000
    … re-encoded, mp3, Vorbis, Opus or AAC, 96 kbit/s and more     0.01–0.10
    … re-encoded at 64 kbit/s                                      0.09–0.23
    mixture and accompaniment, faint lead (a violin 20 dB below)       0.06
    mixture and accompaniment, sung or rapped                      0.21–0.38
    unrelated recordings (114 pairs)                               0.85–1.17

A real original and its instrumental from another master have been seen at 0.42. So d_min lies
above what an encoder does, and d_max half way between true pairs and unrelated ones. A pair whose
vocals are as faint as an encoder's noise is lost, which is what the thesis asks for: "optimized
for high quality rather than quantity".
"""

from dataclasses import dataclass

from matching.scores import Scores

D_MIN = 0.15
D_MAX = 0.70


@dataclass(frozen=True)
class Thresholds:
    """Every number on which a decision depends.

    A pair is kept where d_min ≤ difference < d_max and nothing below forbids it.
    """

    d_min: float = D_MIN
    d_max: float = D_MAX
    min_asymmetry: float = 0.3  # by how much either must hold more, −1…1
    min_confidence: float = 0.3  # of the alignment
    max_drift_ppm: float = 30.0  # 6 ms over a song of 200 s
    min_share: float = 0.9  # of the mixture that must match
    min_part: float = 0.1  # of the mixture that matches where a part does
    min_bass: float = 0.3  # correlation below which the bass is missing
    max_rest: float = 0.25  # of the mixture where the instrumental may be silent


def decide(scores: Scores, thresholds: Thresholds) -> tuple[str, str]:
    """A pair's decision and its criterion in words, with the numbers.

    In this order: `too_similar` where the difference is below d_min (two mixes, two instrumentals,
    or the same recording), `too_different` where it is d_max or more, otherwise `kept`.
    """
    d, low, high = scores.difference, thresholds.d_min, thresholds.d_max
    if d < low:
        return "too_similar", f"difference {d:.3f} is below {low:g}"
    if not d < high:
        return "too_different", f"difference {d:.3f} is not below {high:g}"
    return "kept", f"difference {d:.3f} is in {low:g}…{high:g}"
