"""Files on web servers that refuse, fail, break off and come back, as `prune` and `pseudolabel`
meet them."""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines.verify import command as verify_command
from stemlode import cli, retry, runs, schemas, tables
from tests.pipelines.prune import folders
from tests.pipelines.pseudolabel import unlabelled_music
from tests.web import Web, serving

TEACHER = "tests.training.teachers.plain_teachers:split"
VERBS = ("prune", "pseudolabel")
EACH = ("prune", pytest.param("pseudolabel", marks=pytest.mark.slow))


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "WAITS_S", (0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    for number in range(14):
        sound = unlabelled_music.both if number % 2 else unlabelled_music.deep
        unlabelled_music.write(folder / f"{number:02d}.flac", sound(3.5, number // 2))
    return folder


@pytest.fixture
def web(music: Path) -> Iterator[Web]:
    with serving(music) as found:
        yield found


def _input(verb: str, folder: Path, uris: list[str]) -> list[str]:
    """The verb's input and the options that go with it: pairs of neighbours, or every file."""
    if verb == "prune":
        if not folder.exists():
            pairs = zip(uris[1::2], uris[::2], strict=True)
            folders.write(folder, (folders.pair(mix, mix, other) for mix, other in pairs))
        return ["--candidates", str(folder)]
    path = folder.with_suffix(".parquet")
    if not path.exists():
        rows = [folders.track(uri, uri) | {"duration_s": 3.5} for uri in uris]
        pa.parquet.write_table(pa.Table.from_pylist(rows, schemas.TRACK), path)
    return ["--catalog", str(path), "--teacher", TEACHER, "--device", "cpu"]


def _run(verb: str, tmp_path: Path, uris: list[str], *flags: str, to: str = "out") -> int:
    given = _input(verb, tmp_path / "in", uris)
    allowed = [f"--allow-uri={retry.store_of(uri)}" for uri in uris if "//" in uri]
    return cli.main([verb, *given, "--output", str(tmp_path / to), *allowed, *flags])


def _errors(folder: Path) -> Counter[str]:
    return Counter(row["error"] for row in tables.read(str(folder), "rejects").to_pylist())


def _hashes(folder: Path) -> dict[str, str]:
    own = (runs.RECORD,)  # it holds times
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in own
    }


def _uris(web: Web, number: int) -> list[str]:
    return [f"{web.address}/{n:02d}.flac" for n in range(number)]


@pytest.mark.parametrize("verb", EACH)
@pytest.mark.parametrize(
    "fault",
    [pytest.param(f, marks=pytest.mark.slow) for f in (503, 429, 403, "reset", "half")],
)
def test_what_stays_unreachable_is_a_reject_that_can_be_tried_again(
    verb: str, fault: object, web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uris = _uris(web, 6)
    assert _run(verb, tmp_path, uris, to="whole") == 0
    web.faults = {"03.flac": fault}
    assert _run(verb, tmp_path, uris) == 0
    assert _errors(tmp_path / "out") == {"unreachable": 1}
    assert runs.record(str(tmp_path / "out"))["counts"]["unreachable"] == 1
    assert "1 file could not be reached; --retry-rejects tries again" in capsys.readouterr().out
    (row,) = tables.read(str(tmp_path / "out"), "rejects").to_pylist()
    assert row["key"] == f"track {uris[3]}"
    if verb == "pseudolabel":
        assert verify_command.main([str(tmp_path / "out")]) == 0

    assert _run(verb, tmp_path, uris) == 0  # done is done
    assert _errors(tmp_path / "out") == {"unreachable": 1}
    assert _run(verb, tmp_path, uris, "--retry-rejects") == 0  # and again it cannot be reached
    assert _errors(tmp_path / "out") == {"unreachable": 1}
    web.faults, web.asked = {}, Counter()
    assert _run(verb, tmp_path, uris, "--retry-rejects") == 0
    assert _hashes(tmp_path / "out") == _hashes(tmp_path / "whole")
    asked = {name for name, times in web.asked.items() if times}
    assert verb == "pseudolabel" or asked == {"02.flac", "03.flac"}  # the rest is known
    assert _run(verb, tmp_path, uris, "--retry-rejects") == 0  # nothing is left
    assert _hashes(tmp_path / "out") == _hashes(tmp_path / "whole")


@pytest.mark.parametrize("verb", EACH)
@pytest.mark.parametrize(
    "fault", ["half", *(pytest.param(f, marks=pytest.mark.slow) for f in (503, "reset"))]
)
def test_a_fault_that_passes_is_waited_out(
    verb: str, fault: object, web: Web, tmp_path: Path
) -> None:
    uris = _uris(web, 2)
    turns = itertools.chain([fault] * 3, itertools.repeat(None))
    web.faults = {"01.flac": lambda: next(turns)}
    assert _run(verb, tmp_path, uris) == 0
    assert _errors(tmp_path / "out") == {}


@pytest.mark.parametrize("verb", EACH)
def test_a_server_that_is_down_gets_no_further_tries_and_ends_the_run(
    verb: str, web: Web, music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    web.faults = {f"{number:02d}.flac": 503 for number in range(14)}
    local = [str(music / f"{number:02d}.flac") for number in range(4)]
    uris = [*_uris(web, 14), *local]
    assert _run(verb, tmp_path, uris) == 1
    said = capsys.readouterr().err
    assert f"14 of 18 files cannot be reached, 14 of them at {web.address} (" in said
    assert "503" in said and len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out" / runs.SUCCESS).exists()
    assert len(web.asked) == retry.IN_A_ROW
    plan = (tmp_path / "out" / runs.PLAN).read_bytes()

    assert _run(verb, tmp_path, uris, "--max-unreachable", "0.8") == 0
    assert _errors(tmp_path / "out") == {"unreachable": 14}
    messages = Counter(
        row["message"].partition(":")[0]
        for row in tables.read(str(tmp_path / "out"), "rejects").to_pylist()
    )
    assert messages == {"cannot be reached": retry.IN_A_ROW, "not tried": 14 - retry.IN_A_ROW}

    web.faults = {}
    assert _run(verb, tmp_path, uris, "--retry-rejects") == 0
    assert _run(verb, tmp_path, uris, to="whole") == 0
    assert _hashes(tmp_path / "out") == _hashes(tmp_path / "whole")
    assert (tmp_path / "out" / runs.PLAN).read_bytes() == plan
    assert not {"retry_rejects", "max_unreachable"} & {*json.loads(plan)["options"]}


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_run_that_was_held_back_goes_on_when_the_server_is_back(
    verb: str, web: Web, tmp_path: Path
) -> None:
    uris = _uris(web, 14)
    web.down()  # nobody listens
    assert _run(verb, tmp_path, uris) == 1
    web.up()
    assert _run(verb, tmp_path, uris) == 0
    assert _errors(tmp_path / "out") == {}


@pytest.mark.slow
def test_a_few_of_many_end_no_run_and_all_of_few_do(web: Web, music: Path, tmp_path: Path) -> None:
    web.down()
    local = [str(music / f"{number:02d}.flac") for number in range(2)]
    assert _run("prune", tmp_path, [*_uris(web, 8), *local]) == 0
    assert _errors(tmp_path / "out") == {"unreachable": 8}
    assert _run("prune", tmp_path / "few", _uris(web, 2)) == 1


def test_one_server_that_is_down_keeps_nothing_of_another(
    web: Web, music: Path, tmp_path: Path
) -> None:
    with serving(music) as other:
        other.down()
        uris = [*_uris(other, 8), *_uris(web, 8)]
        assert _run("prune", tmp_path, uris) == 0
    assert _errors(tmp_path / "out") == {"unreachable": 8}


def test_what_is_not_there_is_no_matter_of_reaching(web: Web, tmp_path: Path) -> None:
    uris = [*_uris(web, 3), f"{web.address}/gone.flac"]
    assert _run("prune", tmp_path, uris) == 0
    assert _errors(tmp_path / "out") == {"missing": 1}
    assert web.asked["gone.flac"] <= 2  # by HEAD, and by GET


@pytest.mark.parametrize("share", ["-0.1", "1.5", "nan"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_share_is_a_share(verb: str, share: str, tmp_path: Path) -> None:
    assert _run(verb, tmp_path, ["a", "b"], "--max-unreachable", share) == 2


def test_what_was_rescored_has_no_files_to_try_again(tmp_path: Path) -> None:
    flags = ["--rescore", str(tmp_path), "--retry-rejects", "--output", str(tmp_path / "out")]
    assert cli.main(["prune", *flags]) == 2
