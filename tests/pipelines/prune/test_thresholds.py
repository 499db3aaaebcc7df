"""Thresholds come back as they were written; a damaged file is one line that names it."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.sound.decisions import Thresholds
from pipelines.prune import thresholds
from stemlode.runs import BadUsage

VALUES = st.floats(0, 10)


@given(low=VALUES, width=VALUES)
def test_what_is_written_is_read_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, low: float, width: float
) -> None:
    path = str(tmp_path_factory.getbasetemp() / "thresholds.json")
    wanted = Thresholds(low, low + width)
    thresholds.write(path, wanted, criterion="widest", judged={"pair": 3})
    assert thresholds.read(path) == wanted
    assert json.loads(Path(path).read_text())["judged"] == {"pair": 3}


def test_facts_never_replace_the_thresholds(tmp_path: Path) -> None:
    path = str(tmp_path / "t.json")
    thresholds.write(path, Thresholds(0.1, 0.5), **{"difference_min": 0.4})
    assert thresholds.read(path) == Thresholds(0.1, 0.5)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"), ("{", "not JSON"), ("\xff", "not JSON"), ("[" * 100_000, "not JSON"),
        ("[]", "not an object"), ("0.5", "not an object"),
        ("{}", "difference_min is missing"),
        ('{"difference_min": 0.1}', "difference_max is missing"),
        ('{"difference_min": "0.1", "difference_max": 1}', "difference_min is no number"),
        ('{"difference_min": true, "difference_max": 1}', "difference_min is no number"),
        ('{"difference_min": 0.6, "difference_max": 0.5}', "need 0"),
        ('{"difference_min": -0.6, "difference_max": 0.5}', "need 0"),
        ('{"difference_min": NaN, "difference_max": 0.5}', "need 0"),
        ('{"difference_min": 0, "difference_max": Infinity}', "need 0"),
        ('{"difference_min": 0, "difference_max": 1' + "0" * 400 + "}", "need 0"),
        (" " * (thresholds.LARGEST_BYTES + 1), "too large"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_bad_usage(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(BadUsage, match=why) as caught:
        thresholds.read(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_no_file_is_bad_usage(tmp_path: Path) -> None:
    for path, why in ((tmp_path, "not a file"), (tmp_path / "gone.json", "no such file")):
        with pytest.raises(BadUsage, match=why):
            thresholds.read(str(path))


def test_senseless_thresholds_are_not_written(tmp_path: Path) -> None:
    for low, high in ((0.5, 0.4), (-0.1, 1), (0, math.inf), (math.nan, 1)):
        with pytest.raises(ValueError, match="need 0"):
            thresholds.write(str(tmp_path / "t.json"), Thresholds(low, high))
    assert not (tmp_path / "t.json").exists()
