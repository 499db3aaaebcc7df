"""`fma_metadata/tracks.csv` of the Free Music Archive's data set. Free of Beam.

Three header rows. Lengths are those of whole songs, as are the files of fma_full; those of
fma_small, fma_medium and fma_large are clips of 30 s from their middle.
"""

import dataclasses
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.sources.exports import Export, Made

HEADER_ROWS = 3
TABLE = "tracks.csv"  # beside raw_tracks.csv and others

NAMES = {
    "title": ("track.title",),
    "artist": ("artist.name",),
    "artist_id": ("artist.id",),
    "duration_s": ("track.duration",),
    "album": ("album.title",),
    "release_year": ("album.date_released",),
    "genre": ("track.genre_top",),
    "licence": ("track.license",),
}


def file_of(track_ids: pa.StringArray) -> pa.StringArray:
    """Where a song lies below the folder of audio: `000/000002.mp3`; null where no id has one."""
    is_id = pc.fill_null(pc.match_substring_regex(track_ids, r"^\d{1,6}$"), False)
    names = pc.utf8_lpad(pc.if_else(is_id, track_ids, None), 6, "0")
    folders = pc.utf8_slice_codeunits(names, 0, 3)
    return pc.binary_join_element_wise(folders, pc.binary_join_element_wise(names, "mp3", "."), "/")


MADE = {"audio_uri": Made(("track_id",), file_of)}


class Fma(Export):
    """The tracks of FMA."""

    wanted = f"{TABLE} of FMA (unpack fma_metadata.zip)"
    what = f"FMA's {TABLE}"
    signs = (frozenset({"track.title", "track.genre_top"}),)
    names = NAMES
    made = MADE

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dataclasses.replace(dialect, header_rows=HEADER_ROWS))

    def holds(self, path: str) -> bool:
        return self.is_csv(path) and PurePosixPath(path.lower()).name.startswith(TABLE)
