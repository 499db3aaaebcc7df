"""What the server tells the page: nothing that would sway before a verdict, all of it after."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.pages.inputs import find
from pipelines.review import estimates
from pipelines.review.judgements import Judgements
from pipelines.review.sample import draw
from pipelines.review.session import Session, Wish
from stemlode import runs
from tests.pipelines.report import folders
from tests.pipelines.review.folders import scored

SWAYING = ("difference", "offset", "gain", "asymmetry", "decision", "reason", "coherent", "kept")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """Of 40 pairs, of which prune's other criteria drop every second one."""
    rows = [
        folders.pair(f"Song {i}", difference=0.1 + i / 100) | {"alignment_confidence": float(i % 2)}
        for i in range(40)
    ]
    (prune,), _ = find([str(scored(tmp_path / "pairs", rows))])
    output = str(tmp_path / "review")
    run = runs.start("review", output, {"seed": 0, "stratified": False}, {"scored": prune.path})
    assert run is not None
    judgements = Judgements(run.path("judgements.jsonl"))
    yield Session(run, prune.path, draw(prune, 100, 0, stratified=False), judgements, None)
    judgements.close()


def test_what_was_measured_is_told_of_a_judged_pair_alone(session: Session) -> None:
    told = json.dumps(session.pair(3)) + json.dumps(session.state(Wish(0.95, current=3)))
    for word in SWAYING:
        assert f'"{word}"' not in told.replace('"measured": null', "")
    blind = session.state(Wish(0.95, current=3))["histogram"]
    assert "this pair" not in blind and "bar other" not in blind

    session.judge(3, "unsure")
    state = session.state(Wish(0.95, current=3))
    assert "this pair" in state["histogram"] and "bar other" in state["histogram"]
    measured = state["measured"]
    assert measured["decision"] == "kept"
    assert {name: value for name, value, _ in measured["metrics"]}["gain"] == "−1.5 dB"

    other = session.state(Wish(0.95, current=4))  # judged is one pair, not the review
    assert other["measured"] is None and "bar other" not in other["histogram"]
    last = session.judgements.last
    assert last is not None
    session.undo(last[0])
    assert session.state(Wish(0.95, current=3))["measured"] is None


def test_the_rate_so_far_asks_for_judgements(session: Session) -> None:
    assert session.state(Wish(0.95))["rate"] is None
    for index in range(10):
        session.judge(index, "pair" if index < 9 else "not_a_pair")
    session.judge(10, "unsure")  # says nothing of the rate
    rate = session.state(Wish(0.95))["rate"]
    assert (rate["value"], rate["judged"]) == (0.9, 10)
    assert estimates.wanted(0.9, rate["within"]) == 141
    assert rate["asked"] == 40  # there are no more pairs
