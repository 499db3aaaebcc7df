"""`stemlode review` as a user runs it: one line for what cannot be, and nothing lost."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.pages.inputs import find
from pipelines.prune import thresholds
from stemlode import cli
from tests.pipelines.report import folders
from tests.pipelines.review import folders as folders_module
from tests.pipelines.review.folders import running, verdicts


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A scored folder of six pairs; nothing needs to be heard."""
    rows = [folders.pair(f"Song {i}", difference=0.02 + 0.1 * i) for i in range(6)]
    return folders_module.scored(tmp_path / "pairs", rows)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: SCORED"),
        (["{here}/nothing"], "nothing does not exist"),
        (["{here}"], "is not a run folder"),
        (["{here}/match"], "holds a run of match; name a folder that prune wrote"),
        (["{here}/empty"], "holds no pair: there is nothing to review"),
        (["{here}/dead"], "holds only unreadable pairs: there is nothing to review"),
        (["{here}/pairs", "--sample", "0"], "--sample 0: at least 1"),
        (["{here}/pairs", "--sample", "x"], "argument --sample: invalid int value"),
        (["{here}/pairs", "--target-precision", "95"], "--target-precision 95: above 0, at most 1"),
        (["{here}/pairs", "--target-precision", "nan"], "--target-precision nan"),
        (["{here}/pairs", "--port", "65536"], "--port 65536: between 0 and 65535"),
        (["{here}/pairs", "--stratify"], "did you mean --stratified?"),
        (["{here}/pairs", "--output", "{here}/pairs"], "is that folder too; choose another"),
        (["{here}/pairs", "--output", "{here}/other"], "holds something else"),
        (
            ["{here}/pairs", "--output", "memory://there"],
            "judgements need a folder of this machine",
        ),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path,
    pairs: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    folders.match_run(tmp_path / "match", [], 0)
    folders_module.scored(tmp_path / "empty", [])
    folders_module.scored(tmp_path / "dead", [folders.pair("Dead", "unreadable", None)])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "diary.txt").write_text("mine")
    words = [word.format(here=tmp_path) for word in arguments]
    assert cli.main(["review", *words]) == 2
    errors = capsys.readouterr().err
    assert complaint in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "pairs-review").exists()


def test_help_says_what_a_stranger_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["review", "--help"])
    said = capsys.readouterr().out
    for word in ("prune --thresholds", "--stratified", "127.0.0.1", "Ctrl-C", "examples:"):
        assert word in said
    assert max(map(len, said.splitlines())) <= 100


def test_a_killed_review_has_lost_nothing_and_goes_on_where_it_was(pairs: Path) -> None:
    with running(pairs) as review:
        review.json("judge", {"index": 0, "verdict": "pair"})
        state = review.json("judge", {"index": 1, "verdict": "not_a_pair"})
        assert state["next"] == 2
        review.end(signal.SIGKILL)
    with running(pairs) as review:
        assert "2 of 6 judged" in review.said
        state = review.json("state")
        assert state["verdicts"] == ["pair", "not_a_pair", None, None, None, None]
        assert state["next"] == 2
        undone = review.json("undo", {"event": state["undo"]["event"]})
        assert (undone["undone"], undone["next"]) == (1, 1)
        status, said, errors = review.end()
    assert status == 0
    assert "1 of 6 judged; the same command goes on from here" in said
    assert errors == ""


@pytest.mark.slow
def test_a_larger_sample_keeps_what_was_judged(pairs: Path) -> None:
    with running(pairs, "--sample", "2", "--seed", "4") as review:
        for index in range(2):
            review.json("judge", {"index": index, "verdict": "pair"})
    with running(pairs) as review:  # without options, as it began
        assert "2 of 2 judged" in review.said
        assert "a random sample of 2 of 6 scored pairs" in review.said
    with running(pairs, "--sample", "50") as review:
        assert "--sample 50: only 6 pairs can be heard; all are in it" in review.said
        assert review.json("state")["verdicts"] == ["pair", "pair", None, None, None, None]


@pytest.mark.slow
def test_another_sample_needs_another_folder_or_a_fresh_start(pairs: Path, tmp_path: Path) -> None:
    with running(pairs) as review:
        review.json("judge", {"index": 0, "verdict": "pair"})
    command = [sys.executable, "-m", "stemlode", "review", str(pairs), "--seed", "9"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "holds a run with --seed 0, not 9" in done.stderr
    with running(pairs, "--seed", "9", "--overwrite") as review:
        assert review.json("state")["next"] == 0
    with running(pairs, "--seed", "7", "--output", str(tmp_path / "mine")):
        assert (tmp_path / "mine" / "judgements.jsonl").exists()


@pytest.mark.slow
def test_two_reviews_do_not_share_a_folder(pairs: Path) -> None:
    command = [sys.executable, "-m", "stemlode", "review", str(pairs)]
    with running(pairs) as review:
        review.json("judge", {"index": 0, "verdict": "pair"})
        # while it is a run that is not finished, and when it has thresholds and judging goes on
        for _ in range(2):
            for more in ([], ["--overwrite"]):
                asked = [*command, *more]
                done = subprocess.run(asked, capture_output=True, text=True, check=False)
                assert done.returncode == 1
                guards = ("another review has it open", f"process {review.process.pid} works there")
                assert any(guard in done.stderr for guard in guards)
                assert len(done.stderr.splitlines()) == 1
            review.json("use", {"low": 0.1, "high": 0.9, "criterion": "hand"})
        assert review.json("state")["verdicts"][0] == "pair"
    assert len(verdicts(pairs.parent / "pairs-review" / "judgements.jsonl")) == 1


@pytest.mark.slow
def test_thresholds_are_written_as_prune_reads_them(pairs: Path) -> None:
    output = pairs.parent / "pairs-review"
    with running(pairs, "--target-precision", "0.8") as review:
        facts = json.loads((output / "sample.json").read_text())
        for index, pair in enumerate(facts["pairs"]):
            good = 0.1 < pair["difference"] < 0.4
            review.json("judge", {"index": index, "verdict": "pair" if good else "not_a_pair"})
        estimates = review.json("state?low=0.2&high=0.5")["estimates"]
        # differences are 0.02, 0.12, … 0.52; the pairs are 0.12, 0.22 and 0.32
        assert (estimates["widest"]["low"], estimates["widest"]["high"]) == (0.0201, 0.42)
        assert estimates["widest"]["precision"]["value"] == 1
        assert estimates["widest"]["keeps"] == 3
        assert estimates["hand"]["precision"]["value"] == 2 / 3
        assert estimates["hand"]["recall"]["value"] == 2 / 3
        assert (estimates["run"]["low"], estimates["run"]["high"]) == (0.15, 0.7)
        used = review.json("use", {"low": 0.0201, "high": 0.42, "criterion": "widest"})
        _, said, _ = review.end()
    path = output / "thresholds.json"
    assert used["path"] == str(path)
    found = thresholds.read(str(path))
    assert (found.d_min, found.d_max) == (0.0201, 0.42)
    record = json.loads(path.read_text())
    assert record["criterion"] == "widest"
    assert record["judged"] == {"pair": 3, "not_a_pair": 3, "unsure": 0}
    assert record["precision"]["judged"] == 3
    assert used["command"] in said
    words = shlex.split(used["command"])
    assert words[:2] == ["stemlode", "prune"]
    assert words[words.index("--thresholds") + 1] == str(path)
    # a finished review is a run like any other, and judging goes on
    ((finished,), _) = find([str(output)])
    assert finished.verb == "review"
    with running(pairs) as review:
        assert "6 of 6 judged" in review.said


@pytest.mark.slow
def test_the_command_repeats_the_other_criteria(tmp_path: Path) -> None:
    told = {"d_min": 0.15, "d_max": 0.7, "min_confidence": 0.5, "max_rest": 0.25}
    pairs = folders_module.scored(tmp_path / "pairs", [folders.pair("Song")], told)
    with running(pairs) as review:
        used = review.json("use", {"low": 0.1, "high": 0.9, "criterion": "hand"})
    assert used["command"].endswith(" --min-confidence 0.5")  # 0.25 is the default of the other


@pytest.mark.slow
def test_a_stratified_sample_is_weighted_back(tmp_path: Path) -> None:
    rows = [folders.pair(f"Near {i}", difference=0.31 + i * 1e-4) for i in range(90)]
    rows += [folders.pair(f"Far {i}", difference=0.55 + i * 1e-4) for i in range(10)]
    pairs = folders_module.scored(tmp_path / "pairs", rows)
    with running(pairs, "--stratified", "--sample", "10") as review:
        facts = json.loads((tmp_path / "pairs-review" / "sample.json").read_text())
        assert facts["strata"] == {"3": 90, "5": 10}
        for index, pair in enumerate(facts["pairs"]):
            if pair["stratum"] == 3:
                review.json("judge", {"index": index, "verdict": "pair"})
        assert review.json("state")["unseen"] == 10
        for index, pair in enumerate(facts["pairs"]):
            if pair["stratum"] == 5:
                review.json("judge", {"index": index, "verdict": "not_a_pair"})
        state = review.json("state?low=0&high=1")
        assert state["unseen"] == 0
        assert state["estimates"]["hand"]["precision"]["value"] == pytest.approx(0.9)
        assert state["estimates"]["hand"]["precision"]["judged"] == 10


@pytest.mark.slow
def test_the_review_moves_with_its_folder_names(tmp_path: Path) -> None:
    odd = tmp_path / "a b;$(touch gone) 'ü'"
    pairs = folders_module.scored(odd / "pairs", [folders.pair("Song")])
    with running(pairs) as review:
        used = review.json("use", {"low": 0.1, "high": 0.9, "criterion": "hand"})
    words = shlex.split(used["command"])
    assert str(pairs) in words
    assert str(odd / "pairs-review" / "thresholds.json") in words
    assert not Path("gone").exists()


def test_the_templates_come_with_the_wheel() -> None:
    import tomllib

    project = Path(cli.__file__).parents[1]
    facts = tomllib.loads((project / "pyproject.toml").read_text())
    assert "templates/*" in facts["tool"]["setuptools"]["package-data"]["pipelines.review"]


def test_it_needs_neither_beam_nor_torch() -> None:
    code = (
        "import sys, pipelines.review.command; "
        "print([m for m in ('apache_beam', 'torch', 'librosa') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
