"""The log while a run goes on, in parts; what a resumed run drops; what is joined at the end."""

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


@pytest.mark.parametrize("text", ["", '{"step": 1}\n', '{"step": 1}\n{"st\n{"step": 3}\n'])
def test_a_log_without_what_its_state_knows_is_damaged(text: str, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(text)
    with pytest.raises(Failed, match=r"log\.jsonl: damaged: .*--overwrite"):
        Log(_run(tmp_path)).resume(3, 3)
