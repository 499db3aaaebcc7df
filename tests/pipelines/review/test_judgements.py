"""Judgements: on disk when made, whatever happens next."""

import json
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.review.judgements import VERDICTS, Judgements, Stale
from stemlode.runs import Failed


def reopened(path: Path) -> dict[str, str]:
    found = Judgements(str(path))
    try:
        return found.verdicts
    finally:
        found.close()


def test_a_judgement_is_in_the_file_before_judge_returns(tmp_path: Path) -> None:
    path = tmp_path / "judgements.jsonl"
    judgements = Judgements(str(path))
    judgements.judge("a", "pair", difference=0.25)
    (line,) = path.read_text().splitlines()
    entry = json.loads(line)
    assert (entry["pair_id"], entry["verdict"], entry["difference"]) == ("a", "pair", 0.25)
    judgements.close()


def test_the_last_verdict_on_a_pair_stands_and_undo_brings_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "judgements.jsonl"
    judgements = Judgements(str(path))
    for pair_id, verdict in (("a", "pair"), ("b", "unsure"), ("a", "not_a_pair")):
        judgements.judge(pair_id, verdict)
    assert judgements.verdicts == {"a": "not_a_pair", "b": "unsure"}
    assert judgements.last is not None
    assert judgements.undo(judgements.last[0]) == "a"
    assert judgements.verdicts == {"a": "pair", "b": "unsure"}
    judgements.close()
    assert reopened(path) == {"a": "pair", "b": "unsure"}


def test_an_undo_of_what_is_no_longer_last_is_refused(tmp_path: Path) -> None:
    judgements = Judgements(str(tmp_path / "j"))
    judgements.judge("a", "pair")
    assert judgements.last is not None
    event = judgements.last[0]
    judgements.judge("b", "pair")
    with pytest.raises(Stale):
        judgements.undo(event)
    assert judgements.verdicts == {"a": "pair", "b": "pair"}


STEPS = st.lists(
    st.tuples(st.sampled_from(["", "a", "b", "ü\n"]), st.sampled_from(VERDICTS)), max_size=12
)


@pytest.mark.slow
@given(STEPS, st.integers(0, 60))
def test_cut_short_anywhere_it_holds_what_was_whole_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]], lost: int
) -> None:
    path = tmp_path_factory.mktemp("judgements") / "j.jsonl"
    judgements = Judgements(str(path))
    states: list[dict[str, str]] = [{}]
    sizes = [0]
    for pair_id, verdict in steps:
        last = judgements.last
        if pair_id:
            judgements.judge(pair_id, verdict)
        elif last is not None:
            judgements.undo(last[0])
        else:
            continue
        states.append(judgements.verdicts)
        sizes.append(path.stat().st_size)
    judgements.close()
    left = max(0, sizes[-1] - lost)
    with path.open("r+b") as file:
        file.truncate(left)
    # a line without its line break is whole as well
    whole = max(i for i, size in enumerate(sizes) if max(0, size - 1) <= left)
    again = Judgements(str(path))
    assert again.verdicts == states[whole]
    again.judge("next", "pair")
    again.close()
    assert reopened(path) == states[whole] | {"next": "pair"}


def test_foreign_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "j"
    lines = [
        b'{"event": 1, "pair_id": "a", "verdict": "pair"}',
        b"\xff\xfe",
        b"[]",
        b'{"event": 2, "pair_id": 7, "verdict": "pair"}',
        b'{"event": 3, "pair_id": "b", "verdict": "perhaps"}',
        b"",
        b'{"event": 4, "pair_id": "c", "verdict": "unsure"}',
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    judgements = Judgements(str(path))
    assert judgements.verdicts == {"a": "pair", "c": "unsure"}
    assert judgements.damaged == 4
    judgements.close()


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j"
    judgements = Judgements(str(path))

    def work(name: str) -> None:
        for i in range(20):
            judgements.judge(f"{name}{i}", "pair")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    judgements.close()
    assert len(reopened(path)) == 80
    assert len(path.read_text().splitlines()) == 80


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    path = tmp_path / "j"
    judgements = Judgements(str(path))
    code = "import sys; from pipelines.review.judgements import Judgements; Judgements(sys.argv[1])"
    other = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert other.returncode == 1
    assert "another review has it open" in other.stderr
    judgements.close()


def test_a_full_disk_is_an_error_and_not_a_judgement(tmp_path: Path) -> None:
    path = tmp_path / "j"
    judgements = Judgements(str(path))
    judgements.judge("a", "pair")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 30, hard))
    try:
        for verdict in ("unsure", "not_a_pair"):  # cut short, then not taken at all
            with pytest.raises(OSError, match=r"only a part|File too large"):
                judgements.judge("b", verdict)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert judgements.verdicts == {"a": "pair"}
    judgements.judge("c", "unsure")
    judgements.close()
    assert reopened(path) == {"a": "pair", "c": "unsure"}


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name in ("j", "zeros", "missing/j"):
        with pytest.raises(Failed, match="cannot be written"):
            Judgements(str(tmp_path / name))
