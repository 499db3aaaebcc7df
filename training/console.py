"""What a run says to whoever watches it."""

import sys
from typing import Any

from tqdm import tqdm

from training.state import Progress


def tell(line: str) -> None:
    """A line for the user that does not break the progress bar."""
    tqdm.write(f"train: {line}", file=sys.stderr)


def line(found: dict[str, Any], steps: int, progress: Progress) -> str:
    """A validation's line of the log as people read it."""
    parts = [f"step {found['step']:,} of {steps:,}", f"loss {found['loss']:.4g}"]
    if "valid_loss" in found:
        best = " (best)" if progress.best_step == found["step"] else ""
        parts.append(f"valid {found['valid_loss']:.4g}{best}")
    if "valid_sdr" in found:
        parts.append(f"SDR {found['valid_sdr']:.2f} dB")
    left = progress.seconds / found["step"] * (steps - found["step"])
    return ", ".join([*parts, *_pace(found), f"at most {duration(left)} left"])


def short(found: dict[str, Any]) -> dict[str, str]:
    """What stands beside the bar, which has the time left itself."""
    shown = {"loss": f"{found['loss']:.4g}", "pace": ", ".join(_pace(found))}
    for name, key in (("valid", "valid_loss"), ("SDR", "valid_sdr")):
        if key in found:
            shown[name] = f"{found[key]:.4g}"
    return shown


def duration(seconds: float) -> str:
    """In the largest unit that says enough."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _pace(found: dict[str, Any]) -> list[str]:
    return [
        f"{found['segments_per_s']:.3g} segments/s",
        f"waits {100 * found['data_wait']:.1f} %",
        f"utilisation {100 * found['utilisation']:.0f} %",
    ]
