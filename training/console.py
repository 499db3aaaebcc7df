"""What a run tells its user: lines, a progress bar, TensorBoard."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stemlode import extras, files
from stemlode.progress.bars import duration
from stemlode.runs import BadUsage, on_one_line
from training.state import Progress

FOLDER = "tensorboard"
# Bars of 80 columns leave room for a bar; both counts have at most five characters.
_STEPS = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{remaining}{postfix}]"
_AUDIO = "{desc} |{bar}| {n:.0f} of {total:.0f} s [{remaining}, {rate_noinv_fmt}]"
_AUDIO_OPEN = "{desc} {n:.0f} s [{elapsed}, {rate_noinv_fmt}]"


def tell(line: str) -> None:
    """A line for the user that does not break the progress bar."""
    tqdm.write(on_one_line(f"train: {line}"), file=sys.stderr)


def steps_bar(name: str, steps: int, done: int, *, shown: bool | None = None) -> "tqdm[Any]":
    """A bar of steps with the time that is left; without `shown` where there is a terminal."""
    hidden = None if shown is None else not shown
    return tqdm(
        total=steps, initial=done, desc=name, unit_scale=True, bar_format=_STEPS, disable=hidden
    )


def audio_bar(name: str, seconds: float | None = None) -> "tqdm[Any]":
    """A bar of seconds of audio with the speed, times real time; None where nobody knows how many
    there are."""
    form = _AUDIO if seconds else _AUDIO_OPEN
    return tqdm(total=seconds or None, desc=name, unit=" s of audio", bar_format=form, disable=None)


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
    """What the progress bar shows; it counts the time left itself."""
    names = (("loss", "loss"), ("valid", "valid_loss"))
    return {name: f"{found[key]:.3g}" for name, key in names if key in found}


def _pace(found: dict[str, Any]) -> list[str]:
    return [
        f"{found['segments_per_s']:.3g} segments/s",
        f"waits {100 * found['data_wait']:.1f} %",
        f"utilisation {100 * found['utilisation']:.0f} %",
    ]


def check(folder: str) -> None:
    """BadUsage where TensorBoard is not installed, or the folder is remote."""
    if not files.is_local(folder):
        raise BadUsage(f"--tensorboard: writes to local folders alone, not to {folder}")
    if importlib.util.find_spec("tensorboard") is None:
        raise BadUsage(extras.line("tensorboard", [], "--tensorboard"))


class Board:
    """Writes the log's numbers into a folder; without one, nothing."""

    def __init__(self, folder: str | None, step: int) -> None:
        """`step`: the last one of the run that is resumed; later events are removed."""
        self.writer = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (an extra)

            Path(folder).mkdir(parents=True, exist_ok=True)
            self.writer = SummaryWriter(folder, purge_step=step + 1 if step else None)

    def write(self, line: dict[str, Any]) -> None:
        """Add a line of the log; each of its numbers is a curve."""
        if self.writer is None:
            return
        for name, value in line.items():
            if name != "step" and isinstance(value, int | float):
                self.writer.add_scalar(name, value, line["step"])
        self.writer.flush()

    def close(self) -> None:
        """Finish the file."""
        if self.writer is not None:
            self.writer.close()
