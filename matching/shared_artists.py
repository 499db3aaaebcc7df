"""Pairs of tracks whose credits differ, found through any artist that both list.

A catalogue that lists several artists a track has the soloist beside the band, and the guest
beside the primary artist; one of them may stand alone on the instrumental.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matching import rules


def pairs(tracks: pa.Table, rule: rules.Rule) -> tuple[np.ndarray, np.ndarray, pa.StringArray]:
    """Rows of the mixtures, rows of their instrumentals (int64), and an artist id they share.

    `tracks` has the columns artist_ids (lists of strings), fuzzy_title, marker and duration_s. A
    pair is what `rules.pairs` says for any one of the mixture's artists and any one of the
    instrumental's; each stands there once, with the least of the ids that both have. Nulls and
    empty ids are nobody's. Pairs come in ascending order of rows.
    """
    lists = tracks["artist_ids"].combine_chunks().cast(pa.list_(pa.string()))
    rows, artists = pc.list_parent_indices(lists), pc.list_flatten(lists)
    named = pc.fill_null(pc.not_equal(artists, ""), False)
    rows, artists = rows.filter(named), artists.filter(named)

    columns = ["fuzzy_title", "marker", "duration_s"]
    credits = tracks.select(columns).take(rows).append_column("artist_id", artists)
    mixtures, instrumentals = rules.pairs(credits, rule)
    found = pa.table(
        {
            "mixture": rows.take(pa.array(mixtures)),
            "instrumental": rows.take(pa.array(instrumentals)),
            "artist_id": artists.take(pa.array(mixtures)),
        }
    )
    once = found.group_by(["mixture", "instrumental"]).aggregate([("artist_id", "min")])
    once = once.sort_by([("mixture", "ascending"), ("instrumental", "ascending")])
    mixture, instrumental = (
        once[name].to_numpy().astype(np.int64) for name in ("mixture", "instrumental")
    )
    return mixture, instrumental, once["artist_id_min"].combine_chunks()
