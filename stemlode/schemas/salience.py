"""What lies beside the salience of a corpus."""

import pyarrow as pa

from stemlode.schemas.fields import BYTES, NONE, field

SALIENCE = pa.schema(
    [
        field("sample_id", "str", NONE, "Id of the chunk, as in the corpus.", required=True),
        field("song_id", "str", NONE, "Id of the song, as in the corpus.", required=True),
        field("split", "str", NONE, "train, valid or test.", required=True),
        field("shard", "str", NONE, "Path of the shard below this folder.", required=True),
        field("offset", "i64", BYTES, "Where the sample's tar header begins.", required=True),
        field("size", "i64", BYTES, "Of the sample's tar entry, padding included.", required=True),
        field(
            "first_frame",
            "i64",
            "256 samples at 22,050 Hz",
            "Which frame of the song the first column is.",
            required=True,
        ),
        field(
            "first_sample",
            "i32",
            "samples at 22,050 Hz",
            "Where in the chunk that frame is centred.",
            required=True,
        ),
        field("frames", "i32", "count", "Columns that the chunk holds.", required=True),
        field(
            "voiced", "f64", "0…1", "How many of them reach the threshold of 0.4.", required=True
        ),
        field(
            "targets",
            "str",
            NONE,
            "single: one ridge a frame; multi: all that the teacher gave.",
            required=True,
        ),
        field(
            "teacher", "str", NONE, "Who gave the pitch: swift-f0 or deep-salience.", required=True
        ),
        field("teacher_sha256", "str", NONE, "Of the teacher's weights.", required=True),
        field(
            "voices_share",
            "f64",
            "0…1",
            "How much of the song's voiced time Deep Salience hears several voices; null if not asked.",
        ),
        field(
            "several_voices",
            "bool",
            NONE,
            "Whether that is too much for one ridge a frame; null if not asked.",
        ),
        field(
            "sha256",
            "str→str",
            NONE,
            "Of each file of the sample, by its extension.",
            required=True,
        ),
    ]
)
