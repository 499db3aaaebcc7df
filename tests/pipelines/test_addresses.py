"""What a catalogue may have opened, from `scan` to `corpus`, as a user runs them."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from stemlode import cli, files, runs, schemas, tables
from tests.pipelines.prune import folders
from tests.pipelines.pseudolabel import unlabelled_music
from tests.web import Web, serving

TEACHER = "tests.training.teachers.plain_teachers:split"


def _run(verb: str, *words: object) -> None:
    assert cli.main([verb, *map(str, words)]) == 0


def _rejects(folder: Path) -> dict[str, str]:
    rows = tables.read(str(folder), "rejects").to_pylist()
    return {row["key"]: row["error"] for row in rows}


def _decisions(folder: Path) -> Counter[str]:
    return Counter(tables.read(str(folder), "pairs", ["decision"])["decision"].to_pylist())


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs and their instrumentals."""
    folder = tmp_path_factory.mktemp("music") / "Music"
    for seed in range(2):
        deep = unlabelled_music.deep(12, seed)
        voice = unlabelled_music.shrill(12, seed + 9)
        unlabelled_music.write(folder / f"A - Song {seed}.flac", 0.7 * (deep + voice))
        unlabelled_music.write(folder / f"A - Song {seed} (Instrumental).flac", 0.7 * deep)
    return folder


@pytest.fixture
def web(music: Path) -> Iterator[Web]:
    with serving(music) as found:
        yield found


def test_music_outside_every_output_folder_goes_from_scan_to_corpus(
    music: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    for path in music.iterdir():
        (other / path.name.replace("Song", "Tune")).write_bytes(path.read_bytes())
    (tmp_path / "all").mkdir()
    for path in music.iterdir():
        (tmp_path / "all" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "all/linked").symlink_to(other)  # links are followed
    _run("scan", tmp_path / "all", "--output", tmp_path / "tracks")
    _run("match", "--catalog", tmp_path / "tracks", "--output", tmp_path / "candidates")
    _run("prune", "--candidates", tmp_path / "candidates", "--output", tmp_path / "pairs")
    roots = {name: runs.record(str(tmp_path / name))["roots"] for name in ("tracks", "pairs")}
    assert roots["tracks"] == [str(tmp_path / "all")]
    assert set(roots["pairs"]) == {str(tmp_path / "all"), str(tmp_path / "tracks")}
    assert _decisions(tmp_path / "pairs").total() == 4
    assert not _rejects(tmp_path / "pairs")

    flags = ("--no-follow-links",)
    _run("prune", "--candidates", tmp_path / "candidates", "--output", tmp_path / "strict", *flags)
    assert Counter(_rejects(tmp_path / "strict").values()) == {"refused_address": 4}
    _run("scan", tmp_path / "all", "--output", tmp_path / "strict tracks", *flags)
    assert _rejects(tmp_path / "strict tracks") == {"linked": "refused_address"}


def _candidates(folder: Path, pairs: list[tuple[str, str]], **facts: Any) -> Path:
    folders.write(folder, [folders.pair(mix, mix, other) for mix, other in pairs])
    path = folder / runs.RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    return folder


@pytest.fixture
def hostile(music: Path, web: Web, tmp_path: Path) -> list[str]:
    """Addresses that nobody asked for, each of a file that is there."""
    (tmp_path / "secret.flac").write_bytes((music / "A - Song 0.flac").read_bytes())
    (music / "way").unlink(missing_ok=True)
    (music / "way").symlink_to("/proc")
    name = "A%20-%20Song%200.flac"
    web.moved = {"moved.flac": f"{web.address}/{name}"}
    return [
        f"file://{music}/A - Song 0.flac",
        f"simplecache::{web.address}/{name}",
        f"{web.address}/{name}",
        f"http://localhost:{web.port}/{name}",
        f"http://2130706433:{web.port}/{name}",
        f"http://[::ffff:127.0.0.1]:{web.port}/{name}",
        "http://169.254.169.254/latest/meta-data/",
        "/proc/self/environ",
        f"{music}/way/self/environ",
        f"{tmp_path}/secret.flac",
        f"{music}/../../{tmp_path.name}/secret.flac",
        "/etc/passwd",
    ]


def test_what_nobody_asked_for_is_one_reject_each_and_opens_when_allowed(
    hostile: list[str], music: Path, web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = str(music / "A - Song 0 (Instrumental).flac")
    pairs = [(uri, good) for uri in hostile]
    pairs.append((str(music / "A - Song 0.flac"), good))
    given = _candidates(tmp_path / "in", pairs, roots=[str(music)])
    _run("prune", "--candidates", given, "--output", tmp_path / "pairs")
    assert _rejects(tmp_path / "pairs") == {f"track {uri}": "refused_address" for uri in hostile}
    assert not web.asked
    assert runs.record(str(tmp_path / "pairs"))["counts"]["refused_address"] == len(hostile)
    assert "--retry-rejects with --allow-uri tries again" in capsys.readouterr().out

    allow = [f"--allow-uri={web.address}", f"--allow-uri={tmp_path}", "--allow-uri=file:///"]
    _run("prune", "--candidates", given, "--output", tmp_path / "pairs", "--retry-rejects", *allow)
    left = [hostile[1], *hostile[4:9], hostile[11]]  # localhost is the machine that is allowed
    assert _rejects(tmp_path / "pairs") == {f"track {uri}": "refused_address" for uri in left}
    found = runs.record(str(tmp_path / "pairs"))
    assert found["roots"] == [str(music)]
    assert found["allow_uri"] == [web.address, str(tmp_path), "file:///"]
    assert runs.rules([str(tmp_path / "pairs")], []).allowed == tuple(found["allow_uri"])


def test_an_old_run_that_recorded_no_roots_goes_on(
    hostile: list[str], music: Path, web: Web, tmp_path: Path
) -> None:
    given = _candidates(tmp_path / "in", [(uri, hostile[9]) for uri in hostile])
    _run("prune", "--candidates", given, "--output", tmp_path / "pairs")
    expected = {f"track {uri}": "refused_address" for uri in hostile[:9]}
    assert _rejects(tmp_path / "pairs") == expected | {"track /etc/passwd": "unreadable"}
    assert "roots" not in runs.record(str(tmp_path / "pairs"))


@pytest.mark.slow
def test_pseudolabel_and_corpus_ask_the_same_rules(
    hostile: list[str], music: Path, web: Web, tmp_path: Path
) -> None:
    rows = [folders.track(uri, uri) | {"duration_s": 12.0} for uri in [*hostile, "A - Song 1.flac"]]
    catalogue = music / "catalogue.parquet"
    pa.parquet.write_table(pa.Table.from_pylist(rows, schemas.TRACK), catalogue)
    flags = ("--teacher", TEACHER, "--device", "cpu")
    output = tmp_path / "labelled"
    _run("pseudolabel", "--catalog", catalogue, "--output", output, *flags)
    catalogue.unlink()
    refused = {f"track {uri}": "refused_address" for uri in hostile[:9]}
    assert _rejects(output) == refused | {"track /etc/passwd": "unreadable"}
    assert runs.record(str(output))["counts"]["tracks"] == 3  # no roots are recorded

    good = (str(music / "A - Song 1.flac"), str(music / "A - Song 1 (Instrumental).flac"))
    pairs = [(uri, good[1]) for uri in hostile]
    scored = _scored(tmp_path / "pairs", [good, *pairs], [str(music)])
    _run("corpus", "--pairs", scored, "--output", tmp_path / "corpus")
    assert Counter(_rejects(tmp_path / "corpus").values()) == {"refused_address": len(hostile)}
    assert runs.record(str(tmp_path / "corpus"))["counts"]["songs"] == 1
    assert not (tmp_path / "corpus" / runs.PARTS).exists()
    assert not web.asked
    again = ("--retry-rejects", f"--allow-uri={web.address}")
    _run("corpus", "--pairs", scored, "--output", tmp_path / "corpus", *again)
    assert len(_rejects(tmp_path / "corpus")) == len(hostile) - 2  # by number and as localhost


def test_a_report_plays_what_it_is_allowed_to(music: Path, tmp_path: Path) -> None:
    good = (str(music / "A - Song 1.flac"), str(music / "A - Song 1 (Instrumental).flac"))
    scored = _scored(tmp_path / "pairs", [good], [str(tmp_path / "elsewhere")])
    page = tmp_path / "report.html"
    _run("report", scored, "--output", page)
    assert "<audio" not in page.read_text()
    _run("report", scored, "--output", page, "--allow-uri", music)
    assert "<audio" in page.read_text()


def _scored(folder: Path, pairs: list[tuple[str, str]], roots: list[str]) -> Path:
    """A finished run of prune that kept all pairs."""
    run = runs.start("prune", str(folder), {}, {})
    assert run is not None
    rows = []
    for mix, other in pairs:
        row = dict.fromkeys(schemas.SCORED_PAIR.names) | folders.pair(mix, mix, other)
        rows.append(row | {"decision": "kept", "reason": "", "difference": 0.3, "polarity": 1})
    table = pa.Table.from_pylist(rows, schemas.SCORED_PAIR)
    name = "pairs-00000-of-00001.parquet"
    outputs = {name: tables.write(run, name, table)["sha256"]}
    run.finish({}, outputs, roots=roots)
    return folder


def test_stores_from_the_environment_are_no_catalogues_addresses(
    store: str, music: Path, tmp_path: Path
) -> None:
    for path in music.glob("A - Song 0*.flac"):
        files.write_bytes(f"{store}/addresses/{path.name}", path.read_bytes())
    names = [f"{store}/addresses/A - Song 0{end}.flac" for end in ("", " (Instrumental)")]
    given = _candidates(tmp_path / "in", [(names[0], names[1])], roots=[])
    _run("prune", "--candidates", given, "--output", tmp_path / "pairs")
    assert not _rejects(tmp_path / "pairs")
    assert os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("STORAGE_EMULATOR_HOST")
