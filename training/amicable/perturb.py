"""A song and some models → perturbed.wav, perturbation.wav, report.json and report.html."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from stemlode import audio, files, runs
from stemlode.audio import AudioError
from stemlode.runs import Failed
from training import checkpoint
from training.amicable import noise, objective, optimise, page, scores
from training.amicable.codecs import Codec
from training.amicable.models import Model
from training.amicable.objective import Problem, Term
from training.amicable.optimise import Settings, State
from training.amicable.song import Song

PERTURBED, PERTURBATION = "perturbed.wav", "perturbation.wav"
REPORT, PAGE = "report.json", "report.html"
FILES = (PERTURBED, PERTURBATION, REPORT, PAGE)
STATE = "state.safetensors"
SAVE_EVERY_S = 30.0
AUTO = "auto"
LONGER_THAN_BAND = 1.0  # Hz


@dataclass(frozen=True)
class Task:
    """What is asked for, beside the song and the models."""

    settings: Settings
    weights: tuple[float | str, ...] = ()  # α, AUTO or −AUTO of each model; none: AUTO
    domains: tuple[str, ...] = ()  # of each model; none: the waveform
    pcm: int | None = None  # bits of what is written; None: 32-bit float
    codecs: tuple[Codec, ...] = ()  # after which it is scored too
    codec_noise: Codec | None = None  # that it is made to survive

    def terms(self, models: Sequence[Model], song: Song) -> list[Term]:
        """Eq. 5's, their weights balanced by the losses at iteration 0 where none is given."""
        weights = self.weights or (1.0 if len(models) == 1 else AUTO,) * len(models)
        domains = self.domains or (objective.WAVEFORM,) * len(models)
        terms = [Term(m.separator, 1.0, d) for m, d in zip(models, domains, strict=True)]
        if any(isinstance(weight, str) for weight in weights):
            problem = Problem.of(song, terms)
            first = State.begun(problem, self.settings).perturbation
            found = self.settings.piece_seconds
            (known,) = objective.evaluate(
                terms, [problem], [first], [0.0], gradients=False, piece_seconds=found
            )
            balanced = objective.balanced(known.errors)
            weights = tuple(_weight(w, own) for w, own in zip(weights, balanced, strict=True))
        return [
            dataclasses.replace(term, weight=float(w))
            for term, w in zip(terms, weights, strict=True)
        ]


def _weight(asked: float | str, balanced: float) -> float:
    return {AUTO: balanced, f"-{AUTO}": -balanced}[asked] if isinstance(asked, str) else asked


def check(models: Sequence[Model], song: Song) -> None:
    """AudioError where a model cannot hear a song."""
    for net in (net for model in models for net in model.separator.nets):
        if net.channels not in (None, len(song.mixture)):
            raise AudioError(
                f"has {len(song.mixture)} channels, and {net.name} takes {net.channels}"
            )
        for stem in (*net.taken, *net.sources):
            song.stem(stem)


def perturb(
    song: Song,
    models: Sequence[Model],
    task: Task,
    folder: str,
    parts: str,
    done: Callable[[State], object] = lambda state: None,
    title: str = "",
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the four files into a folder, and return the report, which says `notes` too.

    `parts` is where the run's state is kept, from which a rerun goes on. AudioError where the
    song cannot be used, Failed where the work cannot be done.
    """
    check(models, song)
    try:
        terms = task.terms(models, song)
        problem = Problem.of(song, terms)
        state = made(terms, problem, task, files.join(parts, STATE), done)
    except torch.OutOfMemoryError as error:
        why = "not enough memory: give --recompute or a smaller --piece-seconds"
        raise Failed(why) from error
    perturbed = problem.mixture + state.best
    path = files.join(folder, PERTURBED)
    scores.write(path, perturbed.numpy(), song.sample_rate, task.pcm)
    scores.write(files.join(folder, PERTURBATION), state.best.numpy(), song.sample_rate)
    written = audio.read(path).samples
    report, heard = _report(song, models, terms, problem, state, written, path, task)
    report["notes"] += notes
    files.write_bytes(files.join(folder, REPORT), runs.to_json(report))
    files.write_bytes(files.join(folder, PAGE), page.page(title, report, song, written, heard))
    return report


def made(
    terms: Sequence[Term],
    problem: Problem,
    task: Task,
    saved: str,
    done: Callable[[State], object] = lambda state: None,
) -> State:
    """The end of one song's optimisation, begun anew or where a killed run left it."""
    settings = task.settings
    state = State.begun(problem, settings)
    if files.exists(saved):
        state = State.restored(*checkpoint.read_tensors(saved))
    last_save = time.monotonic()

    def after(states: Sequence[State]) -> None:
        nonlocal last_save
        if time.monotonic() - last_save > SAVE_EVERY_S:
            save(saved, states[0])
            last_save = time.monotonic()
        done(states[0])

    noisy = task.codec_noise
    optimise.run(
        terms, [problem], [state], settings, done=after,
        codec_noise=None if noisy is None else lambda x, rate: torch.from_numpy(
            noisy.added(x.numpy(), rate)
        ),
    )  # fmt: skip
    save(saved, state)
    return state


def save(path: str, state: State) -> None:
    """Write a state, from which a rerun goes on."""
    checkpoint.write_tensors(path, state.tensors(), state.facts())


def _report(
    song: Song,
    models: Sequence[Model],
    terms: Sequence[Term],
    problem: Problem,
    state: State,
    written: np.ndarray,
    path: str,
    task: Task,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """report.json, and stems before and after by label for the page."""
    settings, best = task.settings, state.best
    random = (problem.mixture + noise.random_like(best, problem.mixture)).numpy()
    heard: dict[str, np.ndarray] = {}
    rows: list[dict[str, Any]] = []
    for model, term in zip(models, terms, strict=True):
        before, plain = scores.of_samples(model, song.mixture, song)
        after, better = scores.of_file(model, path, song)
        row: dict[str, Any] = {
            "name": model.name,
            "sha256": model.sha256,
            "weight": term.weight,
            "domain": term.domain,
            "before": before,
            "after": after,
            "random_noise": scores.of_samples(model, random, song)[0],
            "gain_db": _gain(before, after),
        }
        if task.pcm:
            row["after_in_float"] = scores.of_samples(
                model, (problem.mixture + best).numpy(), song
            )[0]
        rows.append(row)
        if len(heard) == 0:
            for stem in before:
                heard[f"{stem}, before"], heard[f"{stem}, after"] = plain[stem], better[stem]
    report = {
        "sample_rate": song.sample_rate,
        "duration_s": song.mixture.shape[1] / song.sample_rate,
        "channels": len(song.mixture),
        "stems": sorted(song.stems),
        "stems_miss_the_mixture_db": round(song.miss_db, 2),
        "models": rows,
        "di_sdr": scores.degradation(song, written),
        "stpr_weight": state.best_stpr_weight,
        "stpr": state.best_at.stpr if state.best_at else None,
        "stpr_profile_db": noise.profile(best, problem.mixture),
        "frame_samples": noise.FRAME,
        "iterations": settings.iterations,
        "searched": [[math.exp(at), found] for at, found in state.tried],
        "first": _iterate(state.first_at),
        "best": _iterate(state.best_at),
        "last": _iterate(state.last_at),
        "codecs": [scores.after_codec(models, song, written, codec) for codec in task.codecs],
        "codec_noise": str(task.codec_noise) if task.codec_noise else None,
        "notes": _notes(models, terms, song, state, settings),
    }
    if settings.target_di_sdr is not None:
        met = state.best_at is not None and state.best_at.meets
        report["target"] = {
            "di_sdr": settings.target_di_sdr,
            "measured": settings.measured,
            "met": met,
        }
    if task.pcm:
        whole = (problem.mixture + best).numpy()
        clipped = int((np.abs(whole) > 1).sum())
        report["pcm"] = {
            "bits": task.pcm,
            "clipped_samples": clipped,
            "error_db": _error_db(whole, written),
        }
        if clipped:
            report["notes"].append(
                f"{clipped:,} samples were clipped to {task.pcm} bits; without --pcm none is"
            )
    return report, heard


def _notes(
    models: Sequence[Model],
    terms: Sequence[Term],
    song: Song,
    state: State,
    settings: Settings,
) -> list[str]:
    notes = []
    for net in {net.name: net for m in models for net in m.separator.nets}.values():
        if net.sample_rate + LONGER_THAN_BAND < song.sample_rate:
            notes.append(
                f"{net.name} hears up to {net.sample_rate / 2000:g} kHz: what its sources have "
                "above that is left out of its loss"
            )
    wanted, best = settings.target_di_sdr, state.best_at
    if wanted is not None and best is not None and not best.meets:
        notes.append(
            f"DI_SDR ({settings.measured}) is {best.di_sdr[settings.measured]:.2f} dB, not "
            f"{wanted:g} ± {optimise.NEAR_DB:g} dB; give another --stpr-weight to begin with, or "
            "more --iterations"
        )
    for model, term in zip(models, terms, strict=True):
        if model.system is None:
            notes.append(f"{model.name} is a program and has no `separate`; it was run as it is")
        if term.weight < 0:
            notes.append(f"{model.name} has a negative weight: it is to do worse")
    return notes


def _gain(before: scores.Scores, after: scores.Scores) -> dict[str, float | None]:
    gains = {
        kind: scores.mean(after, kind) - scores.mean(before, kind) for kind in ("median", "whole")
    }
    return {kind: gain if math.isfinite(gain) else None for kind, gain in gains.items()}


def _iterate(one: optimise.Iterate | None) -> dict[str, Any] | None:
    if one is None:
        return None
    finite = {kind: v if math.isfinite(v) else None for kind, v in one.di_sdr.items()}
    return {**dataclasses.asdict(one), "di_sdr": finite}


def _error_db(whole: np.ndarray, written: np.ndarray) -> float | None:
    error = float(np.sum(np.square(whole - written, dtype=np.float64)))
    power = float(np.sum(np.square(whole, dtype=np.float64)))
    return 10 * math.log10(error / power) if error and power else None
