"""The thresholds file that `stemlode review` writes and `prune --thresholds` reads. Free of Beam.

A JSON object: `difference_min`, `difference_max` (pairs with min ≤ difference < max are kept), and
any further facts, such as how the thresholds were found, which stay with them and decide nothing.
"""

import json
import math
from typing import Any

from matching.sound.decisions import Thresholds
from stemlode import files, runs
from stemlode.runs import BadUsage

MIN, MAX = "difference_min", "difference_max"
LARGEST_BYTES = 1 << 20


def write(path: str, thresholds: Thresholds, **facts: Any) -> None:
    """Write a thresholds file atomically; ValueError for thresholds that make no sense."""
    wrong = _wrong(thresholds.d_min, thresholds.d_max)
    if wrong:
        raise ValueError(wrong)
    record = {**facts, MIN: thresholds.d_min, MAX: thresholds.d_max}
    files.write_bytes(path, runs.to_json(record))


def read(path: str) -> Thresholds:
    """The thresholds of a file; BadUsage names the file and what is wrong with it."""
    where = f"--thresholds {path}"
    try:
        if not files.is_file(path):
            raise BadUsage(f"{where}: {'not a file' if files.exists(path) else 'no such file'}")
        if files.size(path) > LARGEST_BYTES:
            raise BadUsage(f"{where}: not a thresholds file: too large")
        found = json.loads(files.read_bytes(path))
    except OSError as error:
        raise BadUsage(f"{where}: cannot be read: {runs.reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise BadUsage(f"{where}: not a thresholds file: not JSON") from error
    if not isinstance(found, dict):
        raise BadUsage(f"{where}: not a thresholds file: not an object with {MIN} and {MAX}")
    low, high = (_number(where, found, name) for name in (MIN, MAX))
    wrong = _wrong(low, high)
    if wrong:
        raise BadUsage(f"{where}: {wrong}")
    return Thresholds(low, high)


def _number(where: str, found: dict[str, Any], name: str) -> float:
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadUsage(f"{where}: {name} is {'missing' if value is None else 'no number'}")
    try:
        return float(value)
    except OverflowError:  # JSON's integers have no end
        return math.inf


def _wrong(low: float, high: float) -> str:
    """What is wrong with a window; empty where nothing is."""
    if 0 <= low <= high < math.inf:
        return ""
    return f"{MIN} {low:g}, {MAX} {high:g}: need 0 ≤ min ≤ max, both finite"
