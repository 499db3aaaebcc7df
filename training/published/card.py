"""A checkpoint's card: the README.md that a hub shows, written from its configuration alone.

What nobody recorded (in checkpoints of earlier versions, or of songs without a licence) is said to
be unknown. The licence of the weights is for whoever publishes them to state.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stemlode.addresses.pinned import HUB, content
from stemlode.cards.markdown import plain, table

_UNITS = {"valid_sdr": "dB, of the valid split's songs", "valid_loss": "of the valid split"}
_UNSTATED = "not stated"


def text(config: Mapping[str, Any], evaluations: Sequence[Mapping[str, Any]] = ()) -> str:
    """The card in Markdown, with the front matter that hubs read, and what runs of `evaluate` found
    of it (`training.exporting.folder`)."""
    fields = config["recipe"]
    name, step = str(fields.get("name", "")), config.get("step", 0)
    paragraphs = [
        _front(config),
        f"# {plain(name)}",
        f"{plain(str(fields.get('summary', '')))}. Step {step:,} of training.",
        "Use it with Stemlode: this folder is what `--checkpoint` takes.",
        "```sh\nstemlode separate song.mp3 --checkpoint THIS_FOLDER\n```",
        "## What it learnt from",
        *_sets(config),
        "## Scores",
        _scores(config.get("scores") or {}),
        *(part for one in evaluations for part in _evaluated(one)),
        "## Lineage",
        *_lineage(config),
        "## Recipe",
        table(("number", "value"), ((k, _shown(v)) for k, v in sorted(fields.items()))),
    ]
    return "\n\n".join(paragraphs) + "\n"


def licences(config: Mapping[str, Any]) -> dict[str, float]:
    """Hours by licence, of all that this checkpoint and those that it came from learnt from; hours
    that both heard count twice."""
    found: dict[str, float] = {}
    for one in _every_set(config):
        for licence, hours in _numbers(one.get("licences")).items():
            found[licence] = round(found.get(licence, 0) + hours, 4)
    return dict(sorted(found.items()))


def _front(config: Mapping[str, Any]) -> str:
    fields = config["recipe"]
    tags = ["music-source-separation", *(str(fields.get(k, "")) for k in ("target", "family"))]
    lines = ["library_name: stemlode", "pipeline_tag: audio-to-audio", "tags:"]
    lines += [f"- {json.dumps(tag)}" for tag in tags if tag]
    bases = [str(one.get("checkpoint", "")) for one in _objects(config.get("parents"))]
    models = [base.removeprefix(HUB).partition("@")[0] for base in bases if base.startswith(HUB)]
    if models:
        lines += ["base_model:", *(f"- {json.dumps(model)}" for model in models)]
    return "\n".join(["---", *lines, "---"])


def _sets(config: Mapping[str, Any]) -> Iterable[str]:
    sets = _objects(config.get("learnt_from"))
    if not sets:
        yield "Unknown: this checkpoint was written before it was recorded."
    else:
        head = ("set", "samples", "songs", "hours", "labelled by")
        rows = (
            (
                *(str(one.get(name, "")) for name in ("set", "samples", "songs", "hours")),
                ", ".join(str(who)[:12] for who in one.get("labelled_by") or []),
            )
            for one in sets
        )
        yield table(head, rows)
    known = licences(config)
    if known:
        yield "Licences, with what its parents learnt from:"
        yield table(
            ("licence", "hours"), ((name or _UNSTATED, f"{h:g}") for name, h in known.items())
        )


def _scores(scores: Mapping[str, Any]) -> str:
    rows = [
        (name, f"{value:.4g} {_UNITS.get(name, '')}".rstrip())
        for name, value in scores.items()
        if isinstance(value, int | float)
    ]
    return table(("score", "value"), rows) if rows else "None were recorded."


def _evaluated(found: Mapping[str, Any]) -> Iterable[str]:
    count = found["songs"]
    said = [
        f"{count:,} song{'' if count == 1 else 's'}",
        *(f"{k}={v}" for k, v in found["options"].items()),
    ]
    said += [f"beside {name}" for name in found["beside"]]
    said += [f"Stemlode {found['version']}"] if found["version"] else []
    place = plain(str(found["set"] or "a set"))
    how = "over songs, uSDR and mir\\_eval's scores are means, all others medians"
    yield f"By `stemlode evaluate`, of {place} ({plain(', '.join(said))}); {how}:"
    yield table(("source", "score", "value"), found["rows"])


def _lineage(config: Mapping[str, Any]) -> Iterable[str]:
    lines = [*_ancestors(config.get("parents") or [], 0)]
    teachers = _objects(config.get("teachers"))
    if not (lines or teachers):
        yield "It began with random weights."
    if lines:
        yield "\n".join(lines)
    if teachers:
        yield "Teachers, in order:"
        names = sorted({name for one in teachers for name in one})
        yield table(names, ([_shown(one.get(name, "")) for name in names] for one in teachers))


def _ancestors(parents: Any, depth: int) -> Iterable[str]:
    for one in _objects(parents):
        facts = [str(one.get("how", "came from it")), f"step {one.get('step')}"]
        facts.append(f"SHA-256 {one.get('sha256')}")
        if not one.get("learnt_from"):
            facts.append("what it learnt from is unknown")
        name = str(one.get("checkpoint", ""))
        shown = name if content(name) else f"a folder {name}" if name else "a checkpoint"
        yield f"{'  ' * depth}- {plain(str(one.get('recipe')))}, {plain(shown)}: " + plain(
            ", ".join(facts)
        )
        yield from _ancestors(one.get("parents"), depth + 1)


def _every_set(config: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    yield from _objects(config.get("learnt_from"))
    for parent in _objects(config.get("parents")):
        yield from _every_set(parent)


def _objects(found: Any) -> list[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _numbers(found: Any) -> dict[str, float]:
    items = found.items() if isinstance(found, Mapping) else ()
    return {str(k): float(v) for k, v in items if isinstance(v, int | float)}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
