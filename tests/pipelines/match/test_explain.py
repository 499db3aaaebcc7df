"""`match --explain`: what two titles or tracks are read as, and why they pair or do not."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.match import command as match_command
from stemlode.runs import BadUsage

Explain = Callable[..., list[str]]


@pytest.fixture
def explain(capsys: pytest.CaptureFixture[str]) -> Explain:
    def said(one: str, other: str, *flags: str) -> list[str]:
        assert match_command.main(["--explain", one, other, "--rule=extended", *flags]) == 0
        return capsys.readouterr().out.splitlines()

    return said


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        ("Blue", "Blue (Inst.)", "a pair, as blue, where artists and durations agree too"),
        ("Blue (Inst.)", "Blue", "a pair, as blue, where artists and durations agree too"),
        ("Blue", "Red (Inst.)", "no pair: the keys differ"),
        ("Blue", "Blue (Live)", "no pair: neither says that it is an instrumental"),
        ("Blue (MR)", "Blue (Karaoke)", "no pair: both say that they are instrumental"),
        (
            "Blue (Live)",
            "Blue (Karaoke)",
            "no pair: the keys agree, but what describes the version differs: live and nothing",
        ),
        (
            "Blue (In the Style of X)",
            "Blue (Karaoke)",
            "no pair: A has no key: it holds nothing but brackets, or says that it is a cover "
            "(--covers)",
        ),
    ],
)
def test_two_titles(explain: Explain, one: str, other: str, verdict: str) -> None:
    assert explain(one, other)[-1] == verdict


def test_every_reading_of_a_title_is_shown(explain: Explain) -> None:
    said = explain("Blue (English Ver.)", "푸른 (Blue) [Inst.]\x1b[2J")
    assert "   also as      blue" in said
    assert said[5].startswith("B  '푸른 (Blue) [Inst.]\\\\x1b")


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    rows = [
        ("mix", "Blue", "a", "", 200.0, None),
        ("far", "Blue (Inst.)", "a", "", 210.0, None),
        ("near", "Blue (Inst.)", "b", "a;b", 201.0, None),
        ("stranger", "Blue (Inst.)", "c", "", 200.0, None),
        ("broken", "Blue (Inst.)", "a", "", -1.0, None),
        ("same", "Blue (Inst.)", "a", "", 200.0, "r"),
        ("other", "Blue", "a", "", 200.0, "r"),
    ]
    names = ["track_id", "title", "artist_id", "artist_ids", "duration_s", "recording_id"]
    path = tmp_path / "tracks.parquet"
    pq.write_table(pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))), path)
    return path


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        ("mix", "near", "a pair, as blue"),
        (
            "mix",
            "far",
            "no pair: the durations are 10.000 s apart, and not less than 5 s (--tolerance)",
        ),
        (
            "mix",
            "stranger",
            "no pair: no artist id is on both (--artist-names looks at names too)",
        ),
        ("mix", "broken", "no pair: B is no track: the duration is no positive number of seconds"),
        ("other", "same", "no pair: both are recording r"),
    ],
)
def test_two_tracks(explain: Explain, catalog: Path, one: str, other: str, verdict: str) -> None:
    assert explain(one, other, f"--catalog={catalog}")[-1] == verdict


def test_an_unknown_track_is_named(explain: Explain, catalog: Path) -> None:
    with pytest.raises(BadUsage, match="--explain nobody: no track of the catalogue has it"):
        explain("mix", "nobody", f"--catalog={catalog}")
