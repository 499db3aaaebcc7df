"""The log for TensorBoard, which is an extra."""

import importlib.util
from pathlib import Path
from typing import Any

from pipelines import files
from pipelines.runs import BadUsage

FOLDER = "tensorboard"


def check(folder: str) -> None:
    """BadUsage where TensorBoard is not installed, or the folder is remote."""
    if not files.is_local(folder):
        raise BadUsage(f"--tensorboard: writes to local folders alone, not to {folder}")
    if importlib.util.find_spec("tensorboard") is None:
        raise BadUsage("--tensorboard: is not installed; pip install 'stemlode[tensorboard]'")


class Board:
    """Writes the log's numbers into a folder; without one, nothing."""

    def __init__(self, folder: str | None, step: int) -> None:
        """`step`: what the run resumes after; a dead run's later events are taken back."""
        self.writer = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (an extra)

            Path(folder).mkdir(parents=True, exist_ok=True)
            self.writer = SummaryWriter(folder, purge_step=step + 1 if step else None)

    def write(self, line: dict[str, Any]) -> None:
        """A line of the log; each number of it is a curve."""
        if self.writer is None:
            return
        for name, value in line.items():
            if name != "step" and isinstance(value, int | float):
                self.writer.add_scalar(name, value, line["step"])
        self.writer.flush()

    def close(self) -> None:
        """Nothing more comes."""
        if self.writer is not None:
            self.writer.close()
