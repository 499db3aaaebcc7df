"""`beet export` of beets' library (with -l), or of the files' tags (without it). Free of Beam.

Of the library all is text: lengths as M:SS (seconds where beets' option format_raw_length is on),
lists with "; " between, years without a date as 0000. Of the tags there is neither an id nor a
path: the recording's id at MusicBrainz has to do. Artists are told apart by their names, since a
library knows MusicBrainz' id of some tracks alone, and of instrumentals the least.
"""

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.catalogue.formats.json_rows import Objects
from pipelines.catalogue.sources.exports import Export, Made

NO_YEAR = ("0000", "0")
NAMES = {
    "track_id": ("id", "mb_trackid"),
    "duration_s": ("length",),
    "audio_uri": ("path",),
    "artist_ids": ("mb_artistids",),
    "recording_id": ("mb_trackid",),
    "work_id": ("mb_workid",),
    "genre": ("genre", "genres"),
}


def known(years: pa.StringArray) -> pa.StringArray:
    """Years without those that stand for none."""
    return pc.if_else(pc.is_in(years, value_set=pa.array(NO_YEAR)), None, years)


MADE = {"release_year": Made(("year",), known)}


class Beets(Export):
    """JSON, JSON Lines or CSV of beets."""

    wanted = "file of `beet export` that ends in .json, .jsonl or .csv"
    what = "an export of beets"
    signs = (frozenset({"mb_trackid", "length"}),)
    names = NAMES
    made = MADE

    @staticmethod
    def reading(objects: Objects) -> Objects:
        """Objects as they stand, and the year of those that have one."""
        for row, broken in objects:
            year = str((row or {}).get("year"))
            if row is not None and "year" in row and "release_year" not in row:
                row["release_year"] = None if year in NO_YEAR else row["year"]
            yield row, broken
