"""What lies beside the shards of a corpus: its index, its songs, how they sound."""

import pyarrow as pa

from stemlode.schemas.fields import BYTES, DECIBELS, HERTZ, NONE, SECONDS, field
from stemlode.schemas.pairs import REPAIRS

KINDS = ("pair", "stems", "unpaired", "pseudo", "clean_target", "clean_residual")

INDEX = pa.schema(
    [
        field(
            "sample_id", "str", NONE, "Id of the chunk, and its name in the shard.", required=True
        ),
        field("song_id", "str", NONE, "Id of the song that the chunk is cut from.", required=True),
        field(
            "split_group", "str", NONE, "Songs that must share a split share this.", required=True
        ),
        field("split", "str", NONE, "train, valid or test.", required=True),
        field("shard", "str", NONE, "Path of the shard below the corpus folder.", required=True),
        field(
            "offset",
            "i64",
            BYTES,
            "Where the sample's first tar header begins; in a Parquet shard, the number of its row.",
            required=True,
        ),
        field(
            "size",
            "i64",
            BYTES,
            "Of all the sample's tar entries, padding included; a Parquet shard is planned by the same.",
            required=True,
        ),
        field("kind", "str", NONE, f"One of {', '.join(KINDS)}.", required=True),
        field("sources", "strs", NONE, "The sources that the sample holds.", required=True),
        field(
            "salient",
            "str→f64s",
            SECONDS,
            "Starts in the song of each source's salient windows that touch the chunk; null if not sought.",
        ),
        field("start_s", "f64", SECONDS, "Where in the song the chunk begins.", required=True),
        field("duration_s", "f64", SECONDS, "The chunk's length.", required=True),
        field("sample_rate", "i32", HERTZ, "Of every source.", required=True),
        field("channels", "i32", "count", "Of every source.", required=True),
        field(
            "scale", "f64", "ratio", "True samples are the decoded ones times this.", required=True
        ),
        field("track_ids", "strs", NONE, "The catalogue tracks that the sample is made of."),
        field("licence", "str", NONE, "The terms under which the audio may be used."),
        field("genre", "str", NONE, "The genre that the catalogue states."),
        field("release_year", "i32", "year", "The year of release."),
        field(
            "augmentation", "str", NONE, "Parameters of the augmentation, as JSON; null for none."
        ),
        field(
            "energies_db",
            "str→f64",
            DECIBELS,
            "Mean power of each source, full scale = 0; if labelled, of mixture, target and rest.",
        ),
        field("teacher_sha256", "str", NONE, "The teacher that labelled the sample."),
        field("confidence", "f64", "0…1", "How decidedly the teacher gave each sound one side."),
        field(
            "leftover_db",
            "f64",
            DECIBELS,
            "What of the backing is left in a pair's vocals, as it is estimated, relative to them.",
            since="0.2",
        ),
        field(
            "activity_threshold",
            "str",
            NONE,
            "Above what sources are salient: relative, or dBFS; null where not sought, or if it is -30.",
            since="0.2",
        ),
        field(
            "level_db",
            "f64s",
            DECIBELS,
            "Gains by which a pair's accompaniment was brought to its level in the mixture, at equal "
            "distances from the chunk's begin to its end, and on lines between; null for none.",
            since="0.2",
        ),
        field(
            "equalised_db",
            "f64s",
            DECIBELS,
            "What the filters did that a pair's accompaniment went through, at 63 Hz, 125 Hz … 16 kHz "
            "as far as there are, of each channel; null for none.",
            since="0.2",
        ),
        field(
            "repaired",
            "str",
            NONE,
            f"What was mended of a pair: {', '.join(REPAIRS)}; several joined by +. Null: nothing.",
            since="0.2",
        ),
        field(
            "members",
            "str→member",
            BYTES,
            "Where each file of the sample begins in the shard, and its size. Of FLAC also where a frame "
            "begins, in bytes from the file's begin, at every seek_step samples. Null in version 1.",
            since="0.2",
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

SONG = pa.schema(
    [
        field(
            "recording_id", "str", NONE, "Id of the pair or multitrack that was cut.", required=True
        ),
        field("song_id", "str", NONE, "Id of the song, as in the index.", required=True),
        field("name", "str", NONE, "What a person knows it by: its folder, its file, a pair's id."),
        field("kind", "str", NONE, f"One of {', '.join(KINDS)}.", required=True),
        field("split", "str", NONE, "train, valid or test.", required=True),
        field(
            "split_group", "str", NONE, "Songs that must share a split share this.", required=True
        ),
        field("joined", "strs", NONE, "Songs that it must share a split with, and why."),
        field("duration_s", "f64", SECONDS, "Of all its chunks.", required=True),
        field("chunks", "i64", "count", "That it was cut into.", required=True),
        field(
            "left_out",
            "i64",
            "count",
            "Chunks of train in which no source is salient; they are not in the corpus.",
            required=True,
        ),
        field(
            "sum_error_db",
            "f64",
            DECIBELS,
            "How far the stems' sum misses the mixture, relative to it; null without both.",
        ),
        field(
            "residual_chunks",
            "i64",
            "count",
            "Chunks of a pair that hold vocals: mixture − accompaniment, sample by sample.",
        ),
        field("bleed", "strs", NONE, "Sources into which others leak, as their makers say."),
        field(
            "leftover_db",
            "f64",
            DECIBELS,
            "What of the backing is left in a pair's vocals, as it is estimated, relative to them.",
            since="0.2",
        ),
        field(
            "leftover_of_codecs_db",
            "f64",
            DECIBELS,
            "What is left of a lossy pair's backing, as it is estimated, relative to what its codecs should leave; null of lossless ones.",
            since="0.2",
        ),
        field(
            "clipped_of_codecs_db",
            "f64",
            DECIBELS,
            "What is found of what its mixture's peaks lack, relative to the same; -120 for nothing.",
            since="0.2",
        ),
        field(
            "bent_of_codecs_db",
            "f64",
            DECIBELS,
            "What goes with the backing's level, as soft clipping leaves it, relative to the same.",
            since="0.2",
        ),
        field(
            "artists",
            "strs",
            NONE,
            "What its primary artist is known by, name: and id:; null for nobody, and where songs are "
            "not split by artist.",
            since="0.2",
        ),
        field(
            "listed",
            "str",
            NONE,
            "The split that a list, or its collection, puts it in; null for none.",
            since="0.2",
        ),
    ]
)

LANDMARKS = pa.schema(
    [
        field("recording_id", "str", NONE, "The pair or multitrack that sounds so.", required=True),
        field("source", "str", NONE, "Which side of a pair, or mixture.", required=True),
        field("song_id", "str", NONE, "Id of the song, as in the index.", required=True),
        field("values", "i32s", NONE, "Landmarks: two spectral peaks and the time between them."),
        field("frames", "i32s", "32 ms", "When each landmark begins."),
    ]
)
