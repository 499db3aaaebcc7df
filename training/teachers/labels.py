"""The label of a segment of unlabelled music, from a teacher's estimate (BSRNN, section III-A).

The separated residual is the mixture minus the separated target. If the target is more than 30 dB
below the mixture, the mixture itself is a clean residual; if the residual is, the mixture is a
clean target; else the two separated signals are pseudo-labels of the mixture. So the teacher also
serves as the source activity detector.

Pure functions on any device, a batch at a time; energy is mean power over channels and samples.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

RULE_DB = 30.0  # section III-A: "larger than 30 dB"
SILENCE_DB = -90.0  # of the mixture: half a step of 16 bits; nothing can be 30 dB below it
SUM_DB = -10.0  # the most by which sources may miss their mixture
KINDS = ("pseudo", "clean_target", "clean_residual")
FAULTS = ("silent", "not_finite", "not_a_sum")
OUTCOMES = (*KINDS, *FAULTS)  # what `Labels.outcome` counts in
PSEUDO, CLEAN_TARGET, CLEAN_RESIDUAL, SILENT, NOT_FINITE, NOT_A_SUM = range(len(OUTCOMES))
REASONS = {
    "silent": f"the mixture is silent (below {SILENCE_DB:g} dB)",
    "not_finite": "the teacher gave NaN or infinity",
    "not_a_sum": "the teacher's sources do not sum to the mixture",
}
FRAME = 2048  # samples, of the confidence
_LEAST_POWER = 1e-30


@dataclass(frozen=True)
class Labels:
    """The labels of a batch of segments: tensors [batch] on the mixture's device."""

    outcome: Tensor  # int64, a place in OUTCOMES
    mixture_db: Tensor  # float64, energies; full scale = 0
    target_db: Tensor
    residual_db: Tensor

    @property
    def usable(self) -> Tensor:
        """Whether a segment has one of the KINDS, bool [batch]."""
        return self.outcome < len(KINDS)


def label(
    mixture: Tensor,
    target: Tensor,
    sum_error_db: Tensor | None = None,
    *,
    rule_db: float = RULE_DB,
    sum_db: float = SUM_DB,
) -> Labels:
    """The rules of section III-A for a batch.

    Args:
        mixture, target: float [batch, channels, samples], the target as the teacher separates it.
        sum_error_db: [batch], by how much all the teacher's sources miss the mixture (`misses_db`);
            None where the residual is a difference by itself, which misses nothing.
        rule_db: the paper's 30 dB; a difference of exactly as much is not larger.
        sum_db: a segment whose sources miss the mixture by more than this is of no use.

    No outcome waits for the device.
    """
    mixture_db, target_db = energies_db(mixture), energies_db(target)
    residual_db = energies_db(mixture - target)
    outcome = torch.full_like(mixture_db, PSEUDO, dtype=torch.int64)
    outcome = torch.where(mixture_db - residual_db > rule_db, CLEAN_TARGET, outcome)
    outcome = torch.where(mixture_db - target_db > rule_db, CLEAN_RESIDUAL, outcome)
    if sum_error_db is not None:
        outcome = torch.where(sum_error_db > sum_db, NOT_A_SUM, outcome)
    outcome = torch.where(mixture_db < SILENCE_DB, SILENT, outcome)
    finite = torch.isfinite(mixture_db) & torch.isfinite(target_db) & torch.isfinite(residual_db)
    if sum_error_db is not None:
        finite &= torch.isfinite(sum_error_db)
    outcome = torch.where(finite, outcome, NOT_FINITE)
    return Labels(outcome, mixture_db, target_db, residual_db)


def signals(mixture: Tensor, target: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """The targets and residuals that a batch gives to train on, each [some, channels, samples].

    A clean segment gives its mixture, as a target or as a residual, and nothing else: "the
    separated signals are not used". A pseudo segment gives both its signals. Segments of no kind
    give nothing.
    """
    pseudo, clean = labels.outcome == PSEUDO, labels.outcome == CLEAN_TARGET
    gives_target, gives_residual = pseudo | clean, pseudo | (labels.outcome == CLEAN_RESIDUAL)
    separated = pseudo[:, None, None]
    targets = torch.where(separated, target, mixture)[gives_target]
    residuals = torch.where(separated, mixture - target, mixture)[gives_residual]
    return targets, residuals


def energies_db(signal: Tensor) -> Tensor:
    """Mean power of [batch, channels, samples] in dB re full scale, float64 [batch]; −300 for
    digital silence, NaN where a sample is."""
    amplitude = torch.linalg.vector_norm(signal.flatten(1), dim=1, dtype=torch.float64)
    power = amplitude.square() / max(1, signal[0].numel() if len(signal) else 1)
    return 10 * torch.log10(power.clamp_min(_LEAST_POWER))


def misses_db(mixture: Tensor, sources: Tensor) -> Tensor:
    """Energy of mixture − Σ sources relative to the mixture's in dB, float64 [batch], for a
    mixture [batch, channels, samples] and its sources [batch, sources, channels, samples]."""
    return energies_db(mixture - sources.sum(1)) - energies_db(mixture)


def confidence(target: Tensor, residual: Tensor) -> Tensor:
    """How clearly the teacher separates target and residual: 0 (halves) to 1, float32 [batch].

    Σ |P_t − P_r| / Σ (P_t + P_r) over the powers of all bins of both spectrograms, in Hann
    windows that lie side by side.
    Music is sparse, so the sources of a good separator hardly overlap, while an unsure teacher
    leaves both in every bin. It does not notice a teacher that is sure and wrong.
    """
    powers = []
    window = torch.hann_window(FRAME, device=target.device, dtype=target.dtype)
    for signal in (target, residual):
        padded = torch.nn.functional.pad(signal, (0, -signal.shape[-1] % FRAME))
        spectrum = torch.fft.rfft(padded.unflatten(-1, (-1, FRAME)) * window)
        powers.append(torch.view_as_real(spectrum).square().sum(-1).flatten(1))
    both, apart = powers[0] + powers[1], (powers[0] - powers[1]).abs()
    ratio = apart.sum(1) / both.sum(1).clamp_min(_LEAST_POWER)
    return torch.nan_to_num(ratio, 0.0, 0.0, 0.0).clamp(0, 1)
