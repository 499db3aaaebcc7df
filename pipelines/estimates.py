"""What a run would take, from doing a sample of it: `--estimate` and its prices. No Beam.

A sample of the inputs goes through the verb's own steps, into a folder that is removed. What it
gave and took is scaled up by what is known of all: their number, their bytes, their lengths.
"""

import argparse
import contextlib
import math
import resource
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from stemlode import files, runs
from stemlode.ids import digest
from stemlode.runs import BadUsage, Run

OPTIONS = ("estimate", "prices")  # which decide nothing of the output
WORKERS = (1, 10, 100)
CONFIDENCE_Z = 1.959964  # of a two-sided interval of 95 %
EXAMPLE = """\
# Prices for `--estimate`: put in yours. These are round numbers to begin with, not an offer.
currency = "USD"
core_hour = 0.06          # a core with its memory, for an hour
gpu_hour = 0.70           # a GPU, beside its machine's cores
stored_gb_month = 0.02    # a GB of what is written, kept for a month
read_gb = 0.0             # a GB read from where the inputs lie (egress, requests)
"""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Prices:
    """Of what a run takes."""

    currency: str
    core_hour: float
    gpu_hour: float
    stored_gb_month: float
    read_gb: float


@dataclass
class Estimate:
    """What a run would read, write and take.

    sampled, inputs: of so many inputs (`what`), so many were tried. rows: what comes of them
    (`rows_are`). hours: of audio. disk_bytes: what a local output needs at most while it is
    written. gpu_hours: 0 where no net runs on a GPU. net_share: of the core-hours, a net's.
    """

    what: str
    sampled: int
    inputs: int
    rows: float
    rows_are: str
    hours: float
    read_bytes: float
    written_bytes: float
    disk_bytes: float
    core_hours: float
    gpu_hours: float = 0.0
    net_share: float = 0.0
    rejects: Counter[str] = field(default_factory=Counter)
    rejected: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass
class Took:
    """Seconds: of this process' cores and its children's, and by the clock."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


@dataclass
class Given:
    """What a step gave, by its kind."""

    main: list[Any] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    songs: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def add_arguments(parser: argparse.ArgumentParser, sentence: str) -> None:
    """The two options of a verb that has them; `sentence`: what it does."""
    parser.add_argument("--estimate", action="store_true", help=f"write nothing; {sentence}")
    add_prices(parser)


def add_prices(parser: argparse.ArgumentParser) -> None:
    """The second alone."""
    parser.add_argument(
        "--prices",
        metavar="FILE",
        help="prices for --estimate, as TOML; where there is no such file, one with examples is "
        "written, to be edited",
    )


def prices_of(path: str | None) -> Prices | None:
    """A price file's; the examples' where a file of that name is written. BadUsage names what is
    wrong in it."""
    if path is None:
        return None
    if not files.exists(path):
        try:
            files.write_bytes(path, EXAMPLE.encode())
        except OSError as error:
            raise BadUsage(f"--prices {path}: cannot be written: {runs.reason(error)}") from error
        print(f"note: --prices {path} was not there: examples were written, to be edited")
    try:
        held = tomllib.loads(files.read_bytes(path).decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise BadUsage(f"--prices {path}: {runs.reason(error)}") from error
    found: dict[str, Any] = {}
    for name, kind in Prices.__annotations__.items():
        value = held.pop(name, None)
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            if not 0 <= value < 1e9:
                raise BadUsage(f"--prices {path}: {name} = {value}: not from 0 on")
            found[name] = float(value)
        elif kind is str and isinstance(value, str):
            found[name] = value
        else:
            raise BadUsage(f"--prices {path}: {name} is missing or no {kind.__name__}")
    if held:
        raise BadUsage(f"--prices {path}: {next(iter(held))} is no price that is used here")
    return Prices(**found)


def chosen(every: Iterable[_T], most: int, key: Any = str) -> list[_T]:
    """Some of them, as good as drawn at random, the same in any order: least hashes first."""
    return sorted(every, key=lambda one: digest(key(one)))[:most]


@contextlib.contextmanager
def passing(verb: str) -> Iterator[Run]:
    """A run in a folder that is removed."""
    with tempfile.TemporaryDirectory(prefix="stemlode-estimate-") as folder:
        yield Run(verb, folder, {}, {}, time.time())


@contextlib.contextmanager
def timed(took: Took) -> Iterator[None]:
    """Add what something takes; of children, those that have ended by then."""
    cpu_s, wall_s = _cpu_s(), time.perf_counter()
    try:
        yield
    finally:
        took.cpu_s += _cpu_s() - cpu_s
        took.wall_s += time.perf_counter() - wall_s


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def given(outputs: Iterable[Any]) -> Given:
    """What a step gives, sorted."""
    found = Given()
    for output in outputs:
        tag = getattr(output, "tag", None)
        if tag == "counts":
            found.counts[output.value[0]] += output.value[1]
        elif tag in {"rejects", "songs"}:
            getattr(found, tag).append(output.value)
        elif tag is None:
            found.main.append(output)
    return found


def sizes_of(paths: Sequence[str], most_remote: int = 1000) -> list[int] | None:
    """Bytes of each file; None where they lie in a store and asking for each would take long."""
    if any(not files.is_local(path) for path in paths) and len(paths) > most_remote:
        return None
    return [_size(path) for path in paths]


def _size(path: str) -> int:
    try:
        return files.size(path)
    except (OSError, ValueError):
        return 0


def show(expected: Callable[[], Estimate], prices: str | None) -> None:
    """Print what a run would take, and what it costs by a price file, which is read first."""
    known = prices_of(prices)
    print("\n".join(map(runs.on_one_line, lines(expected(), known))))


def lines(estimate: Estimate, prices: Prices | None) -> Iterator[str]:
    """An estimate as text for people."""
    e = estimate
    yield f"tried {e.sampled:,} of {e.inputs:,} {e.what}"
    for name, value in (
        ("rows", f"{e.rows:,.0f} {e.rows_are}"),
        ("audio", f"{e.hours:,.2f} h" if e.hours >= 0.1 else f"{as_hours(e.hours)} h"),
        ("to read", as_bytes(e.read_bytes)),
        ("to write", as_bytes(e.written_bytes)),
        ("disk", f"{as_bytes(e.disk_bytes)} while it is written"),
        ("core-hours", as_hours(e.core_hours)),
    ):
        yield f"  {name:<12} {value}"
    if e.gpu_hours:
        yield f"  {'GPU-hours':<12} {as_hours(e.gpu_hours)}"
    elif e.net_share:
        share = f"{100 * e.net_share:.0f} % of the core-hours are the net's"
        yield f"  {'GPU-hours':<12} none: {share}; on a machine with a GPU its hours are estimated"
    for workers in WORKERS:
        took = as_span(e.core_hours / workers)
        yield f"  {took:>12} with {workers} worker{'s' * (workers > 1)} of a core"
    if e.rejected:
        causes = ", ".join(f"{cause.replace('_', ' ')} ({n})" for cause, n in e.rejects.items())
        yield f"  about {e.rejected:,.0f} rejects; in the sample: {causes}"
    if prices is not None:
        yield cost(e.core_hours, e.gpu_hours, e.read_bytes, e.written_bytes, prices)
    yield from (f"note: {note}" for note in e.notes)


def cost(
    core_hours: float, gpu_hours: float, read_bytes: float, written_bytes: float, prices: Prices
) -> str:
    """What a run costs by a price file, in a line."""
    parts = {
        "cores": core_hours * prices.core_hour,
        "GPUs": gpu_hours * prices.gpu_hour,
        "reading": read_bytes / 1e9 * prices.read_gb,
    }
    said = ", ".join(f"{name} {value:,.2f}" for name, value in parts.items() if value)
    month = written_bytes / 1e9 * prices.stored_gb_month
    return (
        f"  {'cost':<12} {sum(parts.values()):,.2f} {prices.currency} ({said or 'nothing'}), and "
        f"{month:,.2f} a month for what is written"
    )


def wilson(share: float, size: float, z: float = CONFIDENCE_Z) -> tuple[float, float]:
    """Wilson's score interval of a share seen in a sample of `size` (Wilson 1927).

    Unlike p ± z·√(p(1−p)/n) it stays within 0…1 and says something where the share is 0 or 1.
    """
    spread = z * z / size
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def as_bytes(number: float) -> str:
    """In a unit that suits."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:,.2f} {unit}"
    return f"{number / 1e3:,.1f} kB"


def as_hours(number: float) -> str:
    """Core-hours and the like, to three digits."""
    return f"{number:,.3g}" if number < 10 else f"{number:,.0f}"


def as_span(hours: float) -> str:
    """A stretch of time."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{60 * hours:,.1f} min" if hours >= 1 / 60 else f"{3600 * hours:,.1f} s"


def written_by(folder: str) -> int:
    """Bytes of all files below a local folder."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
