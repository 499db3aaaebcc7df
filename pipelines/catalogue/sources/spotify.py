"""What Spotify's users can export: playlists by Exportify, and their streaming history.

The history says how long a play lasted, never how long a track is, so it is refused unless its
plays were given a `duration_ms`. Free of Beam.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.sources.exports import Export, Made

SEPARATOR = ","  # in what lists several artists or ISRCs
HISTORY = re.compile(r"(streaming_?history|endsong).*\.json(\.gz|\.zst)?")
PLAYED = ("ms_played", "msPlayed")
NAMES = {
    "track_id": ("Track URI", "Spotify ID"),
    "title": ("Track Name",),
    "artist": ("Artist Name(s)",),
    "artist_ids": ("Artist URI(s)", "Artist IDs"),
    "duration_ms": ("Duration (ms)", "Track Duration (ms)"),
    "album": ("Album Name",),
    "release_year": ("Release Date", "Album Release Date"),
    "isrc": ("ISRC",),
    "genre": ("Genres", "Artist Genres"),
}
PLAY = {  # of the extended history, and of that of the last year
    "track_id": ("spotify_track_uri",),
    "title": ("master_metadata_track_name", "trackName"),
    "artist": ("master_metadata_album_artist_name", "artistName"),
    "album": ("master_metadata_album_album_name",),
}


def first_of(uris: pa.StringArray) -> pa.StringArray:
    """The first entry of texts that list several."""
    found = pc.utf8_trim_whitespace(pc.list_element(pc.split_pattern(uris, SEPARATOR), 0))
    return pc.if_else(pc.equal(found, ""), None, found)


MADE = {"artist_id": Made(NAMES["artist_ids"], first_of)}


class Spotify(Export):
    """Exportify's CSV by any of its versions, and streaming histories."""

    wanted = "file that ends in .csv, and no streaming history (unpack a .zip)"
    what = "an export of Exportify or a streaming history"
    signs = (frozenset({"Track Name", "Artist Name(s)"}), *(frozenset({name}) for name in PLAYED))
    names = NAMES
    made = MADE

    def __init__(self, dialect: Dialect) -> None:
        separator = dialect.list_separator or SEPARATOR
        super().__init__(dataclasses.replace(dialect, list_separator=separator))

    def holds(self, path: str) -> bool:
        is_history = HISTORY.fullmatch(PurePosixPath(path.lower()).name)
        return self.is_csv(path) or is_history is not None

    def calls(self, path: str) -> Mapping[str, Sequence[str]]:
        return self.names if self.is_csv(path) else PLAY

    def hopeless(self, path: str, theirs: Sequence[str]) -> str | None:
        played = next((name for name in PLAYED if name in theirs), None)
        if self.is_csv(path) or played is None:
            return None
        return (
            f"a streaming history has no lengths of tracks ({played} is how long a play lasted); "
            "take the playlists, as Exportify exports them, or give each play a duration_ms"
        )
