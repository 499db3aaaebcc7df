"""The recordings that a catalogue names."""

import pyarrow as pa

from stemlode.schemas.fields import NONE, SECONDS, field

TRACK = pa.schema(
    [
        field("track_id", "str", NONE, "The catalogue's id of the recording.", required=True),
        field(
            "artist_id",
            "str",
            NONE,
            "The artist's id, or one derived from the name.",
            required=True,
        ),
        field("artist", "str", NONE, "The artist credit as printed."),
        field("title", "str", NONE, "The title as printed, with its comments.", required=True),
        field("duration_s", "f64", SECONDS, "The length that the catalogue states.", required=True),
        field("audio_uri", "str", NONE, "Where the audio lies: a path or a URI."),
        field("isrc", "str", NONE, "International Standard Recording Code."),
        field("recording_id", "str", NONE, "Id shared by all issues of one recording."),
        field("work_id", "str", NONE, "Id shared by all recordings of one work."),
        field("album", "str", NONE, "The release's title."),
        field("release_year", "i32", "year", "The year of release."),
        field("genre", "str", NONE, "The genre that the catalogue states."),
        field("licence", "str", NONE, "The terms under which the audio may be used."),
        field(
            "duration_source",
            "str",
            NONE,
            "How that is known: counted, stated (by the file), guessed or given; null is given.",
            since="0.2",
        ),
        field("extra", "str", NONE, "Further columns of the catalogue, as a JSON object."),
    ]
)
