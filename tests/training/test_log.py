"""The log while a run goes on, in parts; what a resumed run drops; what is joined at the end."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlode.runs import Failed, Run
from training import log
from training.log import Log


def _run(folder: Path) -> Run:
    return Run("train", str(folder), {}, {}, 0.0)


def _line(step: int) -> dict[str, int]:
    return {"step": step, "of": step * step}


def _parts(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "log").glob("*"))


def test_a_line_writes_its_part_alone(tmp_path: Path) -> None:
    lines = Log(_run(tmp_path))
    lines.begin()
    for step in range(1, 7):
        lines.add(_line(step))
        if step % 2 == 0:
            lines.next_part()
    assert _parts(tmp_path) == ["000001.jsonl", "000002.jsonl", "000003.jsonl"]
    assert all((tmp_path / "log" / name).read_text().count("\n") == 2 for name in _parts(tmp_path))
    lines.next_part()  # a state that is saved twice leaves no empty part
    lines.join()
    assert log.read(str(tmp_path / "log.jsonl")) == [_line(step) for step in range(1, 7)]
    assert not _parts(tmp_path)


@settings(deadline=None, max_examples=60)
@given(
    saves=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    kept=st.integers(0, 5),
    torn=st.binary(max_size=9),
    lost=st.integers(0, 9),
    ended=st.booleans(),
)
def test_what_a_state_does_not_know_is_dropped_whatever_came_after_it(
    saves: list[int],
    kept: int,
    torn: bytes,
    lost: int,
    ended: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("run")
    lines, known, step = Log(_run(folder)), [0], 0
    lines.begin()
    for count in saves:
        for _ in range(count):
            step += 1
            lines.add(_line(step))
        known.append(step)
        lines.next_part()
    count = known[min(kept, len(known) - 1)]
    lines.add(_line(step + 1))  # beyond every state
    if ended:  # and killed while the parts were being removed
        files = sorted((folder / "log").iterdir())
        lines.join()
        fresh = Log(_run(folder))
        fresh.lines = lines.lines[: min(lost, len(lines.lines))]
        if fresh.lines and files:
            fresh._write()
    elif torn:
        last = max((folder / "log").iterdir())
        last.write_bytes(last.read_bytes() + torn.replace(b"\n", b" "))
    again = Log(_run(folder))
    again.resume(10**6, count)
    assert again.lines == [_line(at) for at in range(1, count + 1)]
    again.add(_line(99))
    again.next_part()
    later = Log(_run(folder))
    later.resume(10**6, count + 1)
    later.add(_line(100))
    later.join()
    wanted = [*range(1, count + 1), 99, 100]
    assert [line["step"] for line in log.read(str(folder / "log.jsonl"))] == wanted


def test_a_log_of_an_earlier_version_is_cut_at_the_state_s_step(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 3}\n{"step": 6}\n{"step": 9}\n')
    lines = Log(_run(tmp_path))
    lines.resume(6, None)
    lines.add({"step": 7})
    lines.join()
    assert [line["step"] for line in log.read(str(tmp_path / "log.jsonl"))] == [3, 6, 7]


@pytest.mark.parametrize(
    ("text", "kept"),
    [("", 0), ('{"step": 1}\n', 1), ('{"step": 1}\n{"st\n{"step": 3}\n{"step": 4}\n', 2)],
)
def test_a_run_goes_on_with_what_is_left_of_a_damaged_log(
    text: str, kept: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.jsonl").write_text(text)
    lines = Log(_run(tmp_path))
    lines.resume(3, 3)
    assert [line["step"] for line in lines.lines] == [1, 3][:kept]
    assert f"the log without lines: {3 - kept}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "harm", "said"),
    [
        (1, None, "000001.jsonl: missing"),
        (2, None, "000002.jsonl: missing"),
        (2, lambda data: data[:-3], "000002.jsonl: its last line is torn"),
        (2, lambda data: b"\xff\x00" + data[2:], "000002.jsonl: line 1 is damaged"),
        (2, lambda data: data.replace(b"4", b"Infinity", 1), "000002.jsonl: line 2 is damaged"),
    ],
)
def test_nothing_is_lost_silently_nor_doubled_where_a_part_is_damaged(
    number: int,
    harm: Callable[[bytes], bytes] | None,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Parts of two lines, the last of which no state knows: it would make up for what is lost."""
    lines = Log(_run(tmp_path))
    lines.begin()
    for step in range(1, 7):
        lines.add({"step": step})
        if step % 2 == 0:
            lines.next_part()
    part = tmp_path / "log" / f"{number:06}.jsonl"
    if harm is None:
        part.unlink()
    else:
        part.write_bytes(harm(part.read_bytes()))
    again = Log(_run(tmp_path))
    again.resume(4, 4)
    steps = [line["step"] for line in again.lines]
    assert steps == [step for step in (1, 2, 3, 4) if step in steps]
    err = capsys.readouterr().err
    assert (
        f"{said}; the net goes on as it was, the log without lines: {4 - len(steps)}" in err
        and len(steps) < 4
    )
    again.add({"step": 5})
    again.next_part()
    later = Log(_run(tmp_path))
    later.resume(5, len(steps) + 1)
    assert [line["step"] for line in later.lines] == [*steps, 5] and not capsys.readouterr().err


def test_a_log_that_cannot_be_read_is_not_given_up(tmp_path: Path) -> None:
    (tmp_path / "log" / "000001.jsonl").mkdir(parents=True)
    (tmp_path / "log" / "000001.jsonl" / "x").touch()
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(Failed, match=r"log.*run again to resume"):
        Log(_run(tmp_path)).resume(1, 1)
