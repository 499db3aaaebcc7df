"""Adam on the perturbations of some songs (5.1), each for itself, and the search for λ.

Songs that are computed together give what each gives alone. All that goes on lies in `State`, which
is tensors and numbers: a run that is killed goes on from the last one that was saved.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stemlode.runs import Failed
from training.amicable import noise, objective
from training.amicable.objective import Found, Problem, Term

LEARNING_RATE = 0.01  # of Adam (5.1)
BETAS, EPSILON = (0.9, 0.999), 1e-8
SEARCHES, SEARCH_ITERATIONS = 8, 60  # for λ, at most
NEAR_DB = 0.2  # of the wanted DI_SDR
SLOPE_DB = 4.0  # that DI_SDR grows by where λ grows by a factor of e, before anything is known
FARTHEST = 1.5  # of one step of the search, in log λ
NOISE_EVERY = 10  # iterations between two encodings, if codec noise is learnt through
CodecNoise = Callable[[Tensor, int], Tensor]  # x + ν and its rate → what the codec adds


@dataclass(frozen=True)
class Settings:
    """What decides a perturbation beside its song and its separators."""

    iterations: int = 300
    stpr_weight: float = 40.0  # λ; with a wanted DI_SDR, where its search begins
    target_di_sdr: float | None = None  # dB
    measured: str = noise.MEDIAN  # or noise.WHOLE: which DI_SDR is wanted
    seed: int = 0
    cap: float = objective.CAP
    piece_seconds: int = 30
    recompute: bool = False


@dataclass(frozen=True)
class Iterate:
    """A perturbation at one time of its making."""

    iteration: int
    loss: float  # L
    errors: list[float]  # of each term
    stpr: float  # C
    di_sdr: dict[str, float]
    meets: bool  # whether DI_SDR is as wanted
    search: int = 0  # number of the search for λ that it is the end of; 0 once λ is found


@dataclass
class State:
    """Where the making of one song's perturbation stands."""

    perturbation: Tensor
    mean: Tensor  # Adam's first moment
    square: Tensor  # Adam's second moment
    best: Tensor
    stpr_weight: float  # λ
    search: int  # number of the search for λ; 0 once it has ended
    iteration: int = 0  # of this search, or of the run
    tried: list[tuple[float, float]] = field(default_factory=list)  # (log λ, DI_SDR)
    best_at: Iterate | None = None
    last_at: Iterate | None = None
    first_at: Iterate | None = None
    codec_noise: Tensor | None = None

    @classmethod
    def begun(cls, problem: Problem, settings: Settings) -> "State":
        """Before the first iteration."""
        first = noise.start(problem.mixture, settings.seed)
        zeros = torch.zeros_like(first)
        searches = 0 if settings.target_di_sdr is None else 1
        return cls(first, zeros, zeros.clone(), first.clone(), settings.stpr_weight, searches)

    @property
    def best_stpr_weight(self) -> float:
        """λ of the best iterate."""
        if self.best_at is None or not self.best_at.search:
            return self.stpr_weight
        return math.exp(self.tried[self.best_at.search - 1][0])

    def tensors(self) -> dict[str, Tensor]:
        """What is saved as tensors."""
        held = {name: getattr(self, name) for name in ("perturbation", "mean", "square", "best")}
        more = {} if self.codec_noise is None else {"codec_noise": self.codec_noise}
        return held | more

    def facts(self) -> dict[str, Any]:
        """What is saved as JSON."""
        names = ("stpr_weight", "search", "iteration", "tried")
        at = {name: getattr(self, name) for name in ("best_at", "last_at", "first_at")}
        numbers = {name: getattr(self, name) for name in names}
        return numbers | {name: one and _plain(dataclasses.asdict(one)) for name, one in at.items()}

    @classmethod
    def restored(cls, tensors: dict[str, Tensor], facts: dict[str, Any]) -> "State":
        """The inverse of `tensors` and `facts`."""
        at = {name: facts[name] for name in ("best_at", "last_at", "first_at")}
        tried = [(float(one), float(other)) for one, other in facts["tried"]]
        numbers = {name: facts[name] for name in ("stpr_weight", "search", "iteration")}
        iterates = {
            name: one and Iterate(**{**one, "di_sdr": _numbers(one["di_sdr"])})
            for name, one in at.items()
        }
        held: dict[str, Any] = {**tensors, **numbers, **iterates, "tried": tried}
        return cls(**held)


def iterations(settings: Settings) -> int:
    """How many there are at most, those of the search included."""
    searched = 0 if settings.target_di_sdr is None else SEARCHES * SEARCH_ITERATIONS
    return settings.iterations + searched


def run(
    terms: Sequence[Term],
    problems: Sequence[Problem],
    states: Sequence[State],
    settings: Settings,
    *,
    codec_noise: CodecNoise | None = None,
    done: Callable[[Sequence[State]], object] = lambda states: None,
) -> None:
    """Take every state to its end; `done` is called after each iteration of all.

    The last iterate and the best one, of the lowest loss among those that meet a wanted DI_SDR, are
    held. A perturbation's loss is known when its gradient is, so an iterate counts before the step
    that leaves it.
    """
    while True:
        active = [place for place, state in enumerate(states) if not _ended(state, settings)]
        if not active:
            return
        if codec_noise is not None:
            for place in active:
                _encode(states[place], problems[place], codec_noise)
        some = [states[place] for place in active]
        found = objective.evaluate(
            terms,
            [problems[place] for place in active],
            [state.perturbation for state in some],
            [state.stpr_weight for state in some],
            added=[state.codec_noise for state in some],
            piece_seconds=settings.piece_seconds,
            recompute=settings.recompute,
            cap=settings.cap,
        )
        for place, one in zip(active, found, strict=True):
            _step(states[place], problems[place], one, settings)
        done(states)


def _ended(state: State, settings: Settings) -> bool:
    return not state.search and state.iteration > settings.iterations


def _encode(state: State, problem: Problem, codec_noise: CodecNoise) -> None:
    if state.codec_noise is None or state.iteration % NOISE_EVERY == 0:
        state.codec_noise = codec_noise(problem.mixture + state.perturbation, problem.sample_rate)


def _step(state: State, problem: Problem, found: Found, settings: Settings) -> None:
    """Note an iterate, and take Adam's step to the next."""
    if not math.isfinite(found.loss):
        raise Failed(f"the loss became {found.loss} at iteration {state.iteration}")
    _note(state, problem, found, settings)
    of_search = SEARCH_ITERATIONS if state.search else settings.iterations
    if state.iteration == of_search:  # the iterate after the last step
        if state.search:
            _next_search(state, settings)
        else:
            state.iteration += 1
        return
    assert found.gradient is not None
    state.iteration += 1
    adam(state, found.gradient, problem.open)


def adam(state: State, gradient: Tensor, allowed: Tensor) -> None:
    """Adam's step number `state.iteration` on a perturbation, in place."""
    one, two = BETAS
    state.mean.lerp_(gradient, 1 - one)
    state.square.mul_(two).addcmul_(gradient, gradient, value=1 - two)
    rate = LEARNING_RATE / (1 - one**state.iteration)
    root = state.square.sqrt().div_((1 - two**state.iteration) ** 0.5).add_(EPSILON)
    state.perturbation.addcdiv_(state.mean, root, value=-rate).mul_(allowed)


def _note(state: State, problem: Problem, found: Found, settings: Settings) -> None:
    di_sdr = problem.cover.di_sdr(state.perturbation, problem.sample_rate)
    wanted = settings.target_di_sdr
    meets = wanted is None or abs(di_sdr[settings.measured] - wanted) <= NEAR_DB
    at = Iterate(state.iteration, found.loss, found.errors, found.stpr, di_sdr, meets, state.search)
    state.last_at = at
    state.first_at = state.first_at or at
    if state.search and state.iteration < SEARCH_ITERATIONS:
        return
    if state.best_at is None or _rank(at, settings) > _rank(state.best_at, settings):
        state.best_at, state.best = at, state.perturbation.clone()


def _rank(one: Iterate, settings: Settings) -> tuple[bool, bool, float]:
    """The lowest loss is best among those that meet the wanted DI_SDR, else the nearest to it.

    What a search ended with counts where nothing later is as near: where frames fall silent
    together, DI_SDR may jump over the wanted one.
    """
    if settings.target_di_sdr is None or (one.meets and not one.search):
        return True, True, -one.loss
    return one.meets, False, -abs(one.di_sdr[settings.measured] - settings.target_di_sdr)


def _next_search(state: State, settings: Settings) -> None:
    """The λ to try next, from those that were tried; each search goes on where the last one ended,
    with Adam's moments at 0."""
    assert settings.target_di_sdr is not None and state.last_at is not None
    wanted, now = settings.target_di_sdr, state.last_at.di_sdr[settings.measured]
    state.tried.append((math.log(state.stpr_weight), now))
    state.iteration = 0
    state.mean.zero_()
    state.square.zero_()
    if abs(now - wanted) <= NEAR_DB / 4:
        state.search = 0
        return
    state.stpr_weight = math.exp(_tried_next(state.tried, wanted))
    state.search = 0 if state.search == SEARCHES else state.search + 1


def _tried_next(tried: Sequence[tuple[float, float]], wanted: float) -> float:
    """log λ between the tries on either side of the wanted DI_SDR, which grows with λ; while all
    are on one side, beyond them."""
    under = max((one for one in tried if one[1] <= wanted), key=lambda one: one[1], default=None)
    over = min((one for one in tried if one[1] > wanted), key=lambda one: one[1], default=None)
    if under and over:
        share = (wanted - under[1]) / (over[1] - under[1])
        return under[0] + min(max(share, 0.1), 0.9) * (over[0] - under[0])
    at, now = tried[-1]
    return at + min(max((wanted - now) / SLOPE_DB, -FARTHEST), FARTHEST)


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity."""
    return {**facts, "di_sdr": {name: str(value) for name, value in facts["di_sdr"].items()}}


def _numbers(facts: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in facts.items()}
