"""The keys under which a track may meet its counterpart: an artist's id and a title's key.

Under the thesis' rule a track has one: its artist and its fuzzy title. Under the extended rule a
track has one for each artist that it lists (the soloist beside the band, the guest beside the
primary artist) and each of its fuzzy titles, and, where its work is known, one more for each
artist: versions of one work may have different titles, as long as what describes the version is
equal. If the rule looks at names, the artist's name stands among the artists.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matching.extended import BETWEEN
from matching.rules import Rule
from matching.titles import artist_key_batch

WORK = "work:"  # begins the key of a work; no fuzzy title has a colon
NAME = "name:"  # begins what stands for an artist's name among ids
Links = tuple[np.ndarray, pa.StringArray, pa.StringArray]


def links(tracks: pa.Table, rule: Rule) -> Links:
    """Rows (int64, ascending), artist ids and keys: one for each key of each track.

    `tracks` has the columns artist_id and fuzzy_title, and for the extended rule other_titles
    (with line feeds between, null where there are none), artist_ids (lists of strings, null or
    empty where only artist_id is known) and work_id. Tracks with an empty
    fuzzy title have no keys.
    """
    titles = tracks["fuzzy_title"].combine_chunks()
    has_title = pc.fill_null(pc.not_equal(titles, ""), False)
    if not rule.is_extended:
        keyed = np.flatnonzero(has_title)
        chosen = pa.array(keyed, pa.int64())
        return keyed, tracks["artist_id"].combine_chunks().take(chosen), titles.take(chosen)
    others = pc.if_else(has_title, tracks["other_titles"].combine_chunks(), None)
    keyed = np.flatnonzero(has_title)
    rows, artists = _artists(tracks.take(pa.array(keyed, pa.int64())))
    rows = keyed[rows]
    lists = pc.split_pattern(others, BETWEEN)
    works = tracks["work_id"].combine_chunks()
    descriptors = pc.replace_substring_regex(titles, "^[^|]*", "")
    works = pc.binary_join_element_wise(WORK, pc.if_else(has_title, works, None), descriptors, "")
    keys = pa.table(
        {
            "row": np.concatenate(
                [
                    np.flatnonzero(has_title),
                    pc.list_parent_indices(lists),
                    np.flatnonzero(works.is_valid()),
                ]
            ),
            "link": pa.concat_arrays(
                [titles.filter(has_title), pc.list_flatten(lists), works.drop_null()]
            ),
        }
    )
    credits = pa.table({"row": rows, "artist": artists})
    found = credits.join(keys, "row", join_type="inner").sort_by("row")
    return (
        found["row"].to_numpy().astype(np.int64),
        found["artist"].combine_chunks(),
        found["link"].combine_chunks(),
    )


def with_names(lists: pa.ListArray, names: pa.StringArray) -> pa.ListArray:
    """Lists of artist ids, with what stands for the artist's name behind them, if there is one."""
    keys = artist_key_batch(names)
    keys = pc.binary_join_element_wise(NAME, pc.if_else(pc.equal(keys, ""), None, keys), "")
    rows = np.concatenate([pc.list_parent_indices(lists), np.flatnonzero(keys.is_valid())])
    ids = pa.concat_arrays([pc.list_flatten(lists).cast(pa.string()), keys.drop_null()])
    ends = np.cumsum(np.bincount(rows.astype(np.int64), minlength=len(lists)))
    ordered = ids.take(pa.array(np.argsort(rows, kind="stable")))
    return pa.ListArray.from_arrays(pa.array(np.append(0, ends), pa.int32()), ordered)


def preferred(artist_id: str) -> tuple[bool, str]:
    """Sorts the artist ids under which two tracks meet: the first is the pair's.

    A name's comes before all others, so that the pairs of one name are of one artist.
    """
    return not artist_id.startswith(NAME), artist_id


def _artists(tracks: pa.Table) -> tuple[np.ndarray, pa.StringArray]:
    """Each row's artist and those that it lists, each once: rows, ids."""
    artist = tracks["artist_id"].combine_chunks()
    lists = tracks["artist_ids"].combine_chunks()
    credited = pc.list_flatten(lists)
    rows = np.concatenate([np.arange(len(artist)), pc.list_parent_indices(lists)])
    ids = pa.concat_arrays([artist, credited])
    table = pa.table({"row": rows, "id": ids}).filter(pc.fill_null(pc.not_equal(ids, ""), False))
    once = table.group_by(["row", "id"]).aggregate([]).sort_by("row")
    return once["row"].to_numpy(), once["id"].combine_chunks()
