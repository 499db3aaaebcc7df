"""Aliases: an artist's names lead to one id, and what is doubtful changes nothing."""

import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.titles import artist_key
from pipelines.catalogue import aliases, tracks
from pipelines.catalogue.reading import Catalogue
from stemlode.runs import BadUsage

SUPREMES = [("The Supremes", "S"), ("Supremes", "S"), ("Diana Ross & the Supremes", "S")]


def table(path: Path, rows: list[tuple[str | None, str | None]], name: str = "alias") -> Path:
    entries = [{name: alias, "artist_id": identity} for alias, identity in rows]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(entries), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    else:
        path.write_text(f"{name},artist_id\n" + "".join(f"{a or ''},{i or ''}\n" for a, i in rows))
    return path


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("name", ["alias", "name"])
def test_names_lead_to_one_id(ending: str, name: str, tmp_path: Path) -> None:
    rows = [*SUPREMES, ("John Smith", "1"), ("john  smith!", "2"), (None, "3"), ("Nobody", None)]
    known = aliases.read(str(table(tmp_path / f"a.{ending}", rows, name)))
    keys = pa.array([artist_key(n) for n in ("SUPREMES", "The Súpremes", "John Smith")] + [None])
    assert known.ids_of(keys).to_pylist() == ["S", "S", None, None]
    assert (known.ambiguous, known.incomplete) == (1, 2)
    assert len(known.notes()) == 2
    assert known.as_parameter() == "dianarossandthesupremes\nS\tsupremes\nS"
    again = pickle.loads(pickle.dumps(known))
    assert again.as_parameter() == known.as_parameter()


def test_an_alias_s_id_replaces_given_and_derived_ones(tmp_path: Path) -> None:
    rows = [
        {"artist": "Supremes", "artist_id": "s1"},
        {"artist": "DIANA ROSS and the Supremes", "artist_id": None},
        {"artist": "Somebody", "artist_id": "s1"},
        {"artist": "Somebody", "artist_id": None},
        {"artist": None, "artist_id": "s1"},
        {"artist": None, "artist_id": None},
    ]
    rows = [{"track_id": f"{n}", "title": "T", "duration_s": 1.0, **r} for n, r in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    given = Catalogue(str(tmp_path / "c.parquet"))
    (batch,) = given.batches(given.parts()[0])
    known = aliases.read(str(table(tmp_path / "a.csv", SUPREMES)))
    without, found = tracks.check(batch), tracks.check(batch, known)
    assert found.artist_id.to_pylist()[:3] == ["S", "S", "s1"]
    assert found.artist_id[3:].equals(without.artist_id[3:])
    assert found.error.tolist() == without.error.tolist() == [-1] * 5 + [3]
    nothing = aliases.read(str(table(tmp_path / "b.csv", [])))
    assert tracks.check(batch, nothing).artist_id.equals(without.artist_id)
    assert nothing.as_parameter() == ""


def test_mapped_columns_and_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("known as,mbid\nX,1\n")
    known = aliases.read(str(path), "alias=known as,artist_id=mbid")
    assert known.as_parameter() == "x\n1"
    with pytest.raises(
        BadUsage, match=r"--aliases .*a\.csv: no column alias; it has known as, mbid"
    ):
        aliases.read(str(path))
    with pytest.raises(BadUsage, match=r"--aliases .*none\.csv: no such file"):
        aliases.read(str(tmp_path / "none.csv"))


def test_a_musicbrainz_dump_of_artists(tmp_path: Path) -> None:
    artists = [
        {"id": "S", "name": "The Supremes", "sort-name": "Supremes, The", "aliases": []},
        {"id": "T", "name": "Чайковский", "aliases": [{"name": "Tchaikovsky"}, {"name": 3}, 4]},
        {"id": "U", "name": "Supreme", "aliases": [{"name": "Supremes"}]},
    ]
    (tmp_path / "artist.jsonl").write_text("".join(json.dumps(a) + "\n" for a in artists))
    known = aliases.read(str(tmp_path / "artist.jsonl"))
    names = ["Tchaikovsky", "Чайковский", "Supreme", "Supremes"]
    found = known.ids_of(pa.array([artist_key(n) for n in names])).to_pylist()
    assert found == ["T", "T", "U", None] and known.ambiguous == 1


@pytest.mark.parametrize(
    ("alias", "identity"), [("!\t!", "1"), ("!\n!", "1"), ("x", "1\t2"), ("x", "1\n"), ("x", "\0")]
)
def test_a_control_character_is_named_with_its_row(
    alias: str, identity: str, tmp_path: Path
) -> None:
    path = table(tmp_path / "a.jsonl", [("a", "1"), (alias, identity)])
    with pytest.raises(BadUsage, match=r"a\.jsonl: row 2: .* control character"):
        aliases.read(str(path))


@given(st.lists(st.tuples(st.text(max_size=9), st.sampled_from(["1", "2", "é x"])), max_size=30))
def test_the_parameter_says_what_ids_of_says(rows: list[tuple[str, str]]) -> None:
    rows = [(n.encode(errors="replace").decode(), i) for n, i in rows]
    by_key: dict[str, set[str]] = {}
    for name, identity in rows:
        by_key.setdefault(artist_key(name), set()).add(identity)
    own = {key: ids.pop() for key, ids in sorted(by_key.items()) if key and len(ids) == 1}
    known = aliases.of(
        pa.table(
            [
                pa.array([artist_key(n) for n, _ in rows], pa.string()),
                pa.array([i for _, i in rows], pa.string()),
            ],
            ["key", "id"],
        )
    )
    assert known.ids_of(pa.array(list(by_key), pa.string())).to_pylist() == [
        own.get(k) for k in by_key
    ]
    assert known.as_parameter() == "\t".join(f"{key}\n{identity}" for key, identity in own.items())
