"""Runs of before go on: what an option means that an old plan lacks."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlode import plans, runs

VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=3)
OPTIONS = st.dictionaries(st.sampled_from("abcdef"), VALUES)


def _begun(output: Path, options: dict[str, Any]) -> None:
    """A run of an earlier time, half-way."""
    assert runs.start("verb", str(output), options, {}) is not None


def _start(output: Path, options: dict[str, Any], added: dict[str, Any]) -> runs.Run | None:
    return runs.start("verb", str(output), options, {}, added=added)


@settings(max_examples=50, deadline=None)
@given(old=OPTIONS, added=OPTIONS)
def test_a_plan_without_an_option_is_one_with_the_value_of_its_time(
    old: dict[str, Any], added: dict[str, Any]
) -> None:
    held = runs.to_json({"verb": "verb", "options": old, "inputs": {}})
    assert plans.difference(held, "verb", {**added, **old}, {}, added) == ""


@settings(max_examples=50, deadline=None)
@given(old=OPTIONS, new=OPTIONS, added=OPTIONS)
def test_plans_are_the_same_exactly_where_every_option_is(
    old: dict[str, Any], new: dict[str, Any], added: dict[str, Any]
) -> None:
    held = runs.to_json({"verb": "verb", "options": old, "inputs": {}})
    as_if = {name: added[name] for name in added if name in new} | old
    same = runs.to_json({**dict.fromkeys(new), **as_if}) == runs.to_json(new)
    assert (plans.difference(held, "verb", new, {}, added) == "") == same


def test_a_run_that_goes_on_keeps_its_plan_to_the_byte(tmp_path: Path) -> None:
    _begun(tmp_path, {"x": 1})
    plan = (tmp_path / "_PLAN.json").read_bytes()
    run = _start(tmp_path, {"x": 1, "mend": "off"}, {"mend": "off"})
    assert run is not None and run.options == {"x": 1}
    run.finish({}, {})
    assert (tmp_path / "_PLAN.json").read_bytes() == plan
    assert runs.record(str(tmp_path))["options"] == json.loads(plan)["options"]
    assert _start(tmp_path, {"x": 1, "mend": "off"}, {"mend": "off"}) is None


def test_another_value_than_that_of_its_time_is_named(tmp_path: Path) -> None:
    _begun(tmp_path, {"x": 1})
    with pytest.raises(runs.BadUsage, match=r"with --mend off, as all were .* not on; choose"):
        _start(tmp_path, {"x": 1, "mend": "on"}, {"mend": "off"})


def test_an_option_that_nobody_declared_is_a_difference(tmp_path: Path) -> None:
    _begun(tmp_path, {"x": 1})
    with pytest.raises(runs.BadUsage, match="with --mend None, not off"):
        _start(tmp_path, {"x": 1, "mend": "off"}, {})


def test_what_an_old_plan_does_not_say_may_be_anything(tmp_path: Path) -> None:
    _begun(tmp_path, {"x": 1})
    assert _start(tmp_path, {"x": 1, "decoder": "a 1.2"}, {"decoder": plans.UNSAID}) is not None
    said = tmp_path / "said"
    _begun(said, {"x": 1, "decoder": "a 1.1"})
    with pytest.raises(runs.BadUsage, match=r"--decoder a 1\.1, not a 1\.2"):
        _start(said, {"x": 1, "decoder": "a 1.2"}, {"decoder": plans.UNSAID})


def test_a_plan_of_a_later_version_is_refused_by_its_option(tmp_path: Path) -> None:
    _begun(tmp_path, {"x": 1, "later": True})
    with pytest.raises(runs.BadUsage, match="--later True, which this version does not know"):
        _start(tmp_path, {"x": 1}, {})


def test_a_run_goes_on_as_it_was_begun(tmp_path: Path) -> None:
    added = {"mend": "off", "decoder": plans.UNSAID, "x": 5}
    assert plans.as_begun("verb", str(tmp_path / "none"), added) == {}
    _begun(tmp_path, {"x": 1})
    assert plans.as_begun("verb", str(tmp_path), added) == {"mend": "off"}
    assert plans.as_begun("other", str(tmp_path), added) == {}
    assert plans.as_begun("verb", str(tmp_path), {}, {"x": 1}) == {"x": 1}
    assert plans.as_begun("verb", str(tmp_path), {}, {"x": 2}) == {}
    (tmp_path / "_PLAN.json").write_text("{")
    assert plans.as_begun("verb", str(tmp_path), added) == {}


@pytest.mark.parametrize(
    ("before", "now", "goes_on"),
    [
        (5, 9, True),
        (5, 5, True),
        (5, 4, False),
        (5, None, True),
        (None, 5, False),
        (None, None, True),
        (["a"], ["a", "b"], True),
        (["a"], ["b", "a"], False),
        (["a", "b"], ["a"], False),
    ],
)
def test_an_option_that_may_be_raised_goes_on_with_its_new_value(
    before: object, now: object, goes_on: bool, tmp_path: Path
) -> None:
    def start(minutes: object, seed: int = 0) -> runs.Run | None:
        options = {"minutes": minutes, "seed": seed}
        return runs.start("verb", str(tmp_path), options, {}, raisable=("minutes",))

    run = start(before)
    assert run is not None
    run.finish({}, {})
    if not goes_on:
        with pytest.raises(runs.BadUsage, match=re.escape(f"--minutes {before}, not {now}")):
            start(now)
        return
    with pytest.raises(runs.BadUsage, match="--seed 0, not 1"):
        start(now, seed=1)
    assert (tmp_path / runs.SUCCESS).exists()
    run = start(now)
    assert (run is None) == (now == before)
    if run is not None:
        assert run.options["minutes"] == now
        assert not (tmp_path / runs.SUCCESS).exists()
        run.finish({}, {})
    assert start(now) is None
    assert runs.record(str(tmp_path))["options"] == {"minutes": now, "seed": 0}
