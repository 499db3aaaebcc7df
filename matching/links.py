"""The keys under which a track may meet its counterpart: an artist's id and a title's key.

Under the thesis' rule a track has one: its artist and its fuzzy title. Under the extended rule a
track has one for each artist that it lists (the soloist beside the band, the guest beside the
primary artist), and, where its work is known, one more for each: versions of one work may have
different titles, as long as what describes the version is equal.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matching.rules import Rule

WORK = "work:"  # begins the key of a work; no fuzzy title has a colon
Links = tuple[np.ndarray, pa.StringArray, pa.StringArray]


def links(tracks: pa.Table, rule: Rule) -> Links:
    """Rows (int64, ascending), artist ids and keys: one for each key of each track.

    `tracks` has the columns artist_id and fuzzy_title, and for the extended rule artist_ids (lists
    of strings, null or empty where only artist_id is known) and work_id. Tracks with an empty
    fuzzy title have no keys.
    """
    titles = tracks["fuzzy_title"].combine_chunks()
    keyed = np.flatnonzero(pc.fill_null(pc.not_equal(titles, ""), False))
    chosen = pa.array(keyed, pa.int64())
    titles = titles.take(chosen)
    artists = tracks["artist_id"].combine_chunks().take(chosen)
    if not rule.is_extended:
        return keyed, artists, titles
    rows, artists = _artists(artists, tracks["artist_ids"].combine_chunks().take(chosen))
    works = tracks["work_id"].combine_chunks().take(chosen)
    descriptors = pc.replace_substring_regex(titles, "^[^|]*", "")
    work_keys = pc.binary_join_element_wise(WORK, works, descriptors, "").take(pa.array(rows))
    known = work_keys.is_valid()
    all_rows = np.concatenate([rows, rows[np.asarray(known)]])
    order = np.argsort(all_rows, kind="stable")
    columns = (
        pa.concat_arrays([artists, artists.filter(known)]),
        pa.concat_arrays([titles.take(pa.array(rows)), work_keys.filter(known)]),
    )
    artists, keys = (column.take(pa.array(order)) for column in columns)
    return keyed[all_rows[order]], artists, keys


def _artists(artist: pa.StringArray, lists: pa.ListArray) -> tuple[np.ndarray, pa.StringArray]:
    """Each row's artist and those that it lists, each once: rows, ids."""
    credited = pc.list_flatten(lists)
    rows = np.concatenate([np.arange(len(artist)), pc.list_parent_indices(lists)])
    ids = pa.concat_arrays([artist, credited])
    table = pa.table({"row": rows, "id": ids}).filter(pc.fill_null(pc.not_equal(ids, ""), False))
    once = table.group_by(["row", "id"]).aggregate([]).sort_by("row")
    return once["row"].to_numpy(), once["id"].combine_chunks()
