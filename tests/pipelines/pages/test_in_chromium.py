"""The pages of `pitch` and `perturb` in a real Chromium. They are of `training`, which knows no
pipelines; axe-core and the browser lie here."""

from pathlib import Path

import numpy as np
import pytest

from tests.pipelines.pages import chromium
from tests.pipelines.report.test_page import HOSTILE
from training.amicable import page
from training.amicable.song import Song
from training.pitch import listening, picture
from training.pitch.targets import F0

pytestmark = pytest.mark.slow
TITLES = (*HOSTILE, "שיר ארוך מאוד " * 20, "🎤" * 80, "A" * 300)


def pitch(folder: Path) -> Path:
    """The page, with a picture wider than a screen."""
    frames = 2000
    f0 = F0(np.arange(frames) / 86, np.full(frames, 220.0), np.ones(frames))
    drawn = picture.png(np.zeros((360, frames), np.uint8), f0)
    for number in range(len(TITLES)):
        (folder / str(number)).mkdir()
        (folder / str(number) / "salience.png").write_bytes(drawn)
    songs = [
        (str(i), title, [("Length", "23.2 s"), (title, title)]) for i, title in enumerate(TITLES)
    ]
    path = folder / "index.html"
    path.write_bytes(listening.page(songs, "swift-f0"))
    return path


def perturbed(folder: Path) -> Path:
    """The page, with every part that it may have."""
    sound = np.random.default_rng(0).normal(0, 0.1, (2, 44_100)).astype(np.float32)
    song = Song(sound, {"vocals": sound / 2, "accompaniment": sound / 2}, 44_100)
    sdr = {title: {"median": -1.234} for title in TITLES}
    model = {"name": TITLES[0], "weight": 1.0, "gain_db": {"median": None}}
    model |= {"before": sdr, "after": sdr, "random_noise": sdr}
    iterate = {"loss": 12.5, "di_sdr": {"median": 27.8}, "iteration": 3}
    report = {
        "notes": [*TITLES],
        "di_sdr": {"median": 27.8, "whole": 28.0},
        "stpr_weight": 40.0,
        "iterations": 300,
        "first": iterate,
        "best": iterate,
        "last": iterate,
        "target": {"met": True, "di_sdr": 27.8, "measured": "median"},
        "models": [model],
        "codecs": [{"codec": "opus", "delay_ms": 6.5, "models": [model]}],
        "stpr_profile_db": [(i, -20.0 - i) for i in range(10)],
        "frame_samples": 4096,
        "sample_rate": 44_100,
        "duration_s": 1.0,
    }
    path = folder / "report.html"
    path.write_bytes(page.page(TITLES[-1], report, song, sound * 0.99, {"vocals": sound}))
    return path


def test_axe_finds_nothing_serious_and_nothing_is_cut(tmp_path: Path) -> None:
    with chromium.launched() as browser:
        for made in (pitch, perturbed):
            tab = browser.new_page()
            troubles: list[str] = []
            tab.on("dialog", lambda dialog, told=troubles: told.append(dialog.message))
            tab.goto(made(tmp_path).as_uri())
            assert chromium.faults(tab) == []
            dark = tab.evaluate("getComputedStyle(document.body).backgroundColor")
            assert dark == "rgb(21, 20, 26)"  # the theme of all pages, by night
            assert troubles == []
            tab.close()
