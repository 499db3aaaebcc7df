"""Counts of several processes, added up, as a bar and `status` show them."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemlode import files, runs
from stemlode.progress import bars, logs, meters
from stemlode.progress.meters import Counted, Distribution, Phase
from stemlode.runs import Run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    yield Run("verb", str(tmp_path), {}, {}, time.time())
    meters.end()
    logs.want(logs.Wanted())


def test_what_is_counted_is_found_by_another_process(run: Run) -> None:
    held = meters.begin(run, "a" * 32, {"host": "h"})
    meters.expect("songs", 10)
    meters.step("songs", 3, held=True)
    with meters.item("songs", "one", 2):
        meters.add("audio_seconds", 12.5)
    held.reject("verb", "two", "silent", "nothing but silence")
    held.write()
    found, attempt = meters.held(run.output) or (Counted(), "")
    assert attempt == "a" * 32 and found.launcher == {"host": "h"}
    phase = found.phases["songs"]
    assert (phase.done, phase.held, phase.expected) == (5, 3, 10)
    assert found.counters == {"audio_seconds": 12.5, "rejects/silent": 1}
    assert found.distributions["songs_ms"].count == 1
    assert found.rejects == {"silent": 1} and found.examples["silent"]["key"] == "two"


def test_the_latest_attempt_counts(run: Run) -> None:
    for attempt, done in (("a" * 32, 7), ("b" * 32, 2)):
        held = meters.begin(run, attempt)
        meters.step("songs", done)
        held.write()
    found = meters.held(run.output)
    assert found is not None and found[0].phases["songs"].done == 2


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), min_size=1, max_size=5))
def test_processes_add_up(values: list[list[int]]) -> None:
    each = []
    for some in values:
        one = Counted(phases={"songs": Phase(len(some), 0, len(some))} if some else {}, processes=1)
        for value in some:
            one.add(Counted(distributions={"x": Distribution(1, value, value, value)}))
        each.append(meters.from_json(json.loads(json.dumps(meters.to_json(one)))))
    found, every = meters.added(each), [value for some in values for value in some]
    assert found.processes == len(values)
    if every:
        assert vars(found.distributions["x"]) == {
            "count": len(every), "sum": sum(every), "min": min(every), "max": max(every)
        }  # fmt: skip
        assert found.phases["songs"].done == found.phases["songs"].expected == len(every)


@pytest.mark.parametrize("junk", [b"", b"[]", b'{"phases": 1}', b"\xff", b'{"phases": {}}'])
def test_a_damaged_file_is_passed_over(run: Run, junk: bytes) -> None:
    files.write_bytes(run.path(runs.PROGRESS, "c-1.json"), junk)
    assert meters.held(run.output) is None


def test_a_folder_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    held = meters.begin(Run("verb", str(tmp_path / "file"), {}, {}, 0.0), "d" * 32)
    meters.step("songs")
    held.write()
    meters.end()


def test_a_thread_that_outlives_its_run_counts_nothing(run: Run) -> None:
    meters.begin(run, "e" * 32)
    meters.end()
    assert meters.is_over("e" * 32) and meters.current() is None
    meters.step("songs")
    meters.observe("x", 1)  # nobody counts: no error


def test_rates_and_what_is_left() -> None:
    phase = Phase(done=60, held=40, expected=100, began=1000.0)
    assert phase.rate(1010.0) == pytest.approx(2.0)  # 20 of its own in 10 s
    assert phase.left_s(1010.0) == pytest.approx(20.0)
    assert Phase(done=5, held=5, expected=9).left_s(time.time()) is None


def test_a_line_for_people() -> None:
    counted = Counted(
        phases={"files": Phase(5, 0, 5, 0.0), "songs": Phase(1500, 0, 4000, 100.0)},
        counters={"rejects/silent": 3},
        began=0.0,
    )
    said = "1,500 of 4,000 songs (38 %), 15 songs/s, about 3 min left, 3 min so far, 3 rejected"
    assert bars.line(counted, 200.0) == said
    assert "counted yet" in bars.line(Counted(began=0.0), 5.0)


@pytest.mark.parametrize("expected", [None, 10, 123_456_789])
def test_bars_fit_eighty_columns(expected: int | None) -> None:
    from tqdm import tqdm

    form = bars.bar_format("perturb-songs", "recordings", Phase(9, 0, expected, 0.0), 1e6)
    drawn = tqdm.format_meter(9, expected, 1e6, ncols=80, bar_format=form)
    assert len(drawn) <= 80 and "recordings" in drawn


def test_a_log_of_json(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    logs.want(logs.Wanted(json=True))
    held = meters.begin(run, "f" * 32)
    held.reject("verb", "key\n\u2028é", "silent", "why")
    with meters.item("songs", "quiet"):
        pass
    line = json.loads(capsys.readouterr().err)  # one line: items are for --verbose
    assert line["event"] == "reject" and line["level"] == "warning" and line["error"] == "silent"
    assert (line["verb"], line["stage"], line["key"]) == ("verb", "verb", "key\n\u2028é")


def test_a_log_for_people_is_one_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    logs.want(logs.Wanted(verbose=True))
    meters.begin(run, "0" * 32).reject("verb", "a\nb\x1b[2J", "silent", "why")
    assert capsys.readouterr().err == "verb: reject verb a\\nb\\x1b[2J error silent why\n"


def test_a_worker_s_pid_is_its_own(run: Run) -> None:
    assert meters.host()["pid"] == os.getpid()
