"""Discogs' dump of releases: ids, artists, damage, bombs and memory."""

import gzip
import tracemalloc
from pathlib import Path

import pytest

from pipelines.catalogue.sources import discogs
from stemlode.runs import BadUsage, Failed
from tests.pipelines.catalogue.sources import exported
from tests.pipelines.catalogue.sources.test_named import read

RELEASE = (
    '<release id="{n}"><artists><artist><id>1</id><name>A</name></artist></artists><tracklist>'
    "<track><position>1</position><title>T</title><duration>3:00</duration></track></tracklist></release>"
)


def dump(path: Path, inner: str, root: str = "releases") -> Path:
    path.write_text(f"<{root}>\n{inner}</{root}>\n")
    return path


def test_ids_are_the_release_and_the_position_or_the_place(tmp_path: Path) -> None:
    found, _ = read(exported.discogs(tmp_path), "discogs")
    assert [row["track_id"] for row in found] == ["1:A", "1:B1", "1:#4", "1:C.a", "1:#6"]
    assert [row["duration_s"] for row in found] == [285, 285, 3916, 190, 120]


def test_artists_are_credited_as_printed(tmp_path: Path) -> None:
    found, _ = read(exported.discogs(tmp_path), "discogs")
    by_id = {row["track_id"]: row for row in found}
    assert (by_id["1:A"]["artist"], by_id["1:A"]["artist_id"]) == ("Madonna", "5")
    assert (by_id["1:C.a"]["artist"], by_id["1:C.a"]["artist_id"]) == ("XX feat. Y", "7")
    assert by_id["1:A"]["album"] == "Stockholm & Co" and by_id["1:A"]["release_year"] == 1999


@pytest.mark.parametrize(
    "damage",
    [
        '<release id="9"><title>a & b</title></release>',
        '<release id="9"><title>\x01</title></release>',
        '<release id="9"><tracklist></release>',
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><release id="9"><title>&a;</title></release>',
        'noise <release id="9"></release>',
        f'<release id="9">{"<a>" * 100_000}</release>',
    ],
)
def test_a_damaged_release_costs_itself_alone(damage: str, tmp_path: Path) -> None:
    whole = "".join(RELEASE.format(n=n) for n in range(2))
    path = dump(tmp_path / "d.xml", RELEASE.format(n=7) + damage + whole)
    found, rejected = read(path, "discogs")
    assert [row["track_id"] for row in found] == ["7:1", "0:1", "1:1"]
    assert rejected == {"bad_row": 1}


@pytest.mark.parametrize("prolog", ['<!DOCTYPE releases [<!ENTITY a "a">]>', "{}", "", "<a><b>"])
def test_what_is_no_dump(prolog: str, tmp_path: Path) -> None:
    (tmp_path / "d.xml").write_text(prolog and f"{prolog}<releases></releases>")
    with pytest.raises(BadUsage, match=r"d\.xml: is no dump of Discogs' releases"):
        read(tmp_path / "d.xml", "discogs")


@pytest.mark.parametrize("root", ["artists", "labels", "masters"])
def test_another_dump_is_named(root: str, tmp_path: Path) -> None:
    path = dump(tmp_path / "d.xml", "", root)
    with pytest.raises(BadUsage, match=f"looks like the one of {root}"):
        read(path, "discogs")


def test_a_dump_that_breaks_off(tmp_path: Path) -> None:
    path = dump(tmp_path / "d.xml", "".join(RELEASE.format(n=n) for n in range(3)))
    path.write_text(path.read_text()[:-20])
    with pytest.raises(Failed, match="breaks off before the end of the releases"):
        read(path, "discogs")
    path = dump(tmp_path / "e.xml", "<release>" + "x" * (discogs.MOST_BYTES + discogs.CHUNK))
    with pytest.raises(Failed, match="a release of more than 8 MiB"):
        read(path, "discogs")


def test_memory_holds_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dump 15 times as long takes no more of it."""
    monkeypatch.setattr(discogs, "BATCH_ROWS", 50)
    monkeypatch.setattr(discogs, "CHUNK", 1 << 14)
    peaks = []
    for count in (200, 3000):
        path = tmp_path / f"{count}.xml.gz"
        path.write_bytes(
            gzip.compress(
                b"<releases>"
                + b"".join(RELEASE.format(n=n).encode() for n in range(count))
                + b"</releases>"
            )
        )
        source = discogs.Discogs()
        (part,) = source.parts(str(path))
        tracemalloc.start()
        assert sum(len(rows) for rows in source.batches(part)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
