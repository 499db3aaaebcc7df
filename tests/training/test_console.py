"""Bars fit a terminal of 80 columns, and leave room for a bar."""

import contextlib
import io

import pytest
from tqdm import tqdm

from training import console


class Terminal(io.StringIO):
    """Of 80 columns."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def _shown(bar: "tqdm[float]", terminal: Terminal) -> str:
    bar.ncols = 80
    bar.refresh()
    bar.close()
    return terminal.getvalue().replace("\n", "").split("\r")[-1].rstrip()


def test_a_long_run_s_bar_has_room() -> None:
    with contextlib.redirect_stderr(Terminal()) as terminal:
        bar = console.steps_bar("train", 1_000_000, 450_000)
        found = {"loss": 1.2345e-05, "valid_loss": 123.456, "valid_sdr": 3.0}
        bar.set_postfix(console.short(found))
        shown = _shown(bar, terminal)
    assert len(shown) <= 80 and "loss=1.23e-05, valid=123" in shown
    assert shown.count("█") >= 5


def test_seconds_are_whole_ones() -> None:
    with contextlib.redirect_stderr(Terminal()) as terminal:
        bar = console.audio_bar("separate", 38.2)
        bar.update(5.944308390022676)
        shown = _shown(bar, terminal)
        assert "6 of 38 s" in shown and "s of audio/s" in shown and len(shown) <= 80
        bar = console.audio_bar("pitch")
        bar.update(7.5)
        assert "pitch 8 s [" in _shown(bar, terminal)


def test_there_is_none_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bar = console.steps_bar("train", 10, 0)
    bar.update()
    bar.close()
    assert not capsys.readouterr().err
