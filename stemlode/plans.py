"""What a run was asked to do: `_PLAN.json`, and whether a rerun asks for the same.

An option that is added to a verb later is missing in older plans, where it means what the
verb did then. The verb declares that value:

    runs.start(verb, output, options, inputs, added={"mend": "off"})     # or Verb(added=…)

A plan without `mend` then is one with `mend: off`. A rerun that does not name the option goes on
with `off`, whatever the default has become (`as_begun`); one that asks for another value is told
what differs. Where nothing can be said of the past, `UNSAID` lets any value go on.

Options that only say how long a run lasts may be raised: `runs.start(…, raisable=("steps",))`. So
may lists of what is worked on, by further entries.
"""

import contextlib
import contextvars
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from stemlode import files

PLAN = "_PLAN.json"
UNSAID = object()  # what a plan without the option meant: nobody knows

# What the verb that runs was told, by name, as a configuration says it.
_ASKED: contextvars.ContextVar[Mapping[str, Any] | None] = contextvars.ContextVar(
    "asked", default=None
)

Plan = dict[str, Any]  # verb, options by name, fingerprints of inputs by name


@contextlib.contextmanager
def asking(values: Mapping[str, Any]) -> Iterator[None]:
    """Within, a verb runs that was told these options, which its record keeps (`config`)."""
    token = _ASKED.set(values)
    try:
        yield
    finally:
        _ASKED.reset(token)


def asked() -> dict[str, Any]:
    """What the verb that runs was told; empty where nobody says."""
    return dict(_ASKED.get() or {})


def read(data: bytes) -> Plan | None:
    """A plan of ours; None for anything else."""
    try:
        held = json.loads(data)
        known = isinstance(held["verb"], str) and isinstance(held["options"], dict)
        return held if known and isinstance(held["inputs"], dict) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def decoder(data: bytes) -> str:
    """What reads the audio of a run by its plan; empty where the plan does not say, as those of
    earlier versions."""
    held = read(data)
    found = held.get("decoder") if held else None
    return found if isinstance(found, str) else ""


def as_begun(
    verb: str, output: str, added: Mapping[str, Any], formerly: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The options by which the run in a folder was begun before they were, or by a default that
    they no longer have (`formerly`), by name.

    Empty where there is no run of the verb, or `added` and `formerly` are.
    """
    held = options_of(verb, output) if added or formerly else None
    if held is None:
        return {}
    later = {
        name: value for name, value in added.items() if name not in held and value is not UNSAID
    }
    before = {n: v for n, v in (formerly or {}).items() if _same(held.get(n), v)}
    return later | before


def options_of(verb: str, output: str) -> dict[str, Any] | None:
    """The options of the run in a folder; None where there is no run of the verb."""
    path = files.join(output, PLAN)
    held = read(files.read_bytes(path)) if files.exists(path) else None
    return held["options"] if held is not None and held["verb"] == verb else None


def difference(
    held: bytes,
    verb: str,
    options: Mapping[str, Any],
    inputs: Mapping[str, str],
    added: Mapping[str, Any],
    raisable: Collection[str] = (),
) -> str:
    """Says in a phrase how a run that is held differs from one that is wanted; empty for the same.

    `added` maps options that were added to the verb later to what plans without them mean. Options
    of `raisable` may be higher in the run that is wanted.
    """
    old = read(held)
    if old is None:
        return f"holds an unreadable {PLAN} (if it is a damaged run, remove the folder)"
    if old["verb"] != verb:
        return f"holds a run of {old['verb']}"
    higher = raised(old["options"], options, raisable)
    kept = {name: old["options"][name] if name in higher else options[name] for name in options}
    if found := of_options(old["options"], kept, added):
        return f"holds a run {found}"
    for name in sorted({*old["inputs"], *inputs}):
        if old["inputs"].get(name) != inputs.get(name):
            return f"holds a run made before {flag(name)} changed"
    return ""


def raised(
    held: Mapping[str, Any], wanted: Mapping[str, Any], raisable: Collection[str]
) -> list[str]:
    """The options that are higher in what is wanted than in what is held (None is without end), or
    lists that go on after what is held."""
    found = []
    for name in raisable:
        before, now = held.get(name), wanted.get(name)
        if name not in wanted:
            continue
        if isinstance(before, list) and isinstance(now, list):
            if len(now) > len(before) and now[: len(before)] == before:
                found.append(name)
        elif isinstance(before, int | float) and (now is None or now > before):
            found.append(name)
    return found


def of_options(held: Mapping[str, Any], wanted: Mapping[str, Any], added: Mapping[str, Any]) -> str:
    """The same of options alone: `with --x 1, not 2`."""
    for name in sorted({*held, *wanted}):
        if name not in wanted:
            return f"with {flag(name)} {held[name]}, which this version does not know"
        if name not in held and added.get(name) is UNSAID:
            continue
        before, now = held.get(name, added.get(name)), wanted[name]
        if not _same(before, now):
            since = ", as all were before there was that option" if name not in held else ""
            since = since if name in added else ""
            return f"with {flag(name)} {before}{since}, not {now}"
    return ""


def flag(name: str) -> str:
    """An option as it is written on a command line."""
    return f"--{name.replace('_', '-')}"


def _same(first: Any, second: Any) -> bool:
    """Whether two values are the same in JSON."""
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
