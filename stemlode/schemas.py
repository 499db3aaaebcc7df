"""The tables on disk: an Arrow schema each, every field with a unit and a sentence. No Beam.

What was written once is read by every later Stemlode, so a schema changes in two ways only:

- **A column more.** Give its `_field` the release that brings it (`since="0.2"`) and let it be
  null. Older tables have no such column and read as if it were null (`tables.fitted`); what reads
  the column must know what null means. A struct's fields are columns too.
- **Anything else** (a type, a unit, what values mean): raise the table's number in `VERSIONS`,
  which `run.json` states as `schemas`, and let `tables.fitted` go on reading the old ones.
  A number that this Stemlode does not know is refused in a line by whatever reads the run.

`tests/stemlode/test_schemas.py` holds the columns of version 1 and fails for any other change.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

SECONDS, DECIBELS, HERTZ, BYTES, NONE = "s", "dB", "Hz", "bytes", ""

_TYPES = {
    "str": pa.string(),
    "f64": pa.float64(),
    "i64": pa.int64(),
    "i32": pa.int32(),
    "bool": pa.bool_(),
    "strs": pa.list_(pa.string()),
    "f64s": pa.list_(pa.float64()),
    "i32s": pa.list_(pa.int32()),
    "spans": pa.list_(pa.list_(pa.float64(), 2)),
    "str→f64": pa.map_(pa.string(), pa.float64()),
    "str→f64s": pa.map_(pa.string(), pa.list_(pa.float64())),
    "str→str": pa.map_(pa.string(), pa.string()),
}


def _field(
    name: str, kind: str, unit: str, sentence: str, *, required: bool = False, since: str = ""
) -> pa.Field:
    """`since` is the release that brought the column; empty for those of the first one."""
    facts = {"unit": unit, "description": sentence} | ({"since": since} if since else {})
    return pa.field(name, _TYPES[kind], not required, facts)


TRACK = pa.schema(
    [
        _field("track_id", "str", NONE, "The catalogue's id of the recording.", required=True),
        _field(
            "artist_id",
            "str",
            NONE,
            "The artist's id, or one derived from the name.",
            required=True,
        ),
        _field("artist", "str", NONE, "The artist credit as printed."),
        _field("title", "str", NONE, "The title as printed, with its comments.", required=True),
        _field(
            "duration_s", "f64", SECONDS, "The length that the catalogue states.", required=True
        ),
        _field("audio_uri", "str", NONE, "Where the audio lies: a path or a URI."),
        _field("isrc", "str", NONE, "International Standard Recording Code."),
        _field("recording_id", "str", NONE, "Id shared by all issues of one recording."),
        _field("work_id", "str", NONE, "Id shared by all recordings of one work."),
        _field("album", "str", NONE, "The release's title."),
        _field("release_year", "i32", "year", "The year of release."),
        _field("genre", "str", NONE, "The genre that the catalogue states."),
        _field("licence", "str", NONE, "The terms under which the audio may be used."),
        _field(
            "duration_source",
            "str",
            NONE,
            "How that is known: counted, stated (by the file), guessed or given; null is given.",
            since="0.2",
        ),
        _field("extra", "str", NONE, "Further columns of the catalogue, as a JSON object."),
    ]
)

CANDIDATE = pa.schema(
    [
        _field(
            "pair_id", "str", NONE, "digest(mix_track_id, instrumental_track_id).", required=True
        ),
        _field("song_id", "str", NONE, "digest(artist_id, fuzzy_title).", required=True),
        _field("mix_track_id", "str", NONE, "Track id of the original.", required=True),
        _field(
            "instrumental_track_id", "str", NONE, "Track id of the instrumental.", required=True
        ),
        _field("artist_id", "str", NONE, "The artist id that both share.", required=True),
        _field("fuzzy_title", "str", NONE, "The normalised title that both share.", required=True),
        _field(
            "duration_difference_s", "f64", SECONDS, "Original minus instrumental.", required=True
        ),
        _field("marker", "str", NONE, "What marked the instrumental as one.", required=True),
        _field("rule", "str", NONE, "The rule that proposed the pair.", required=True),
        _field("mix_audio_uri", "str", NONE, "Audio of the original."),
        _field("instrumental_audio_uri", "str", NONE, "Audio of the instrumental."),
        pa.field(
            "mix", pa.struct(list(TRACK)), False, {"unit": NONE, "description": "The original."}
        ),
        pa.field(
            "instrumental",
            pa.struct(list(TRACK)),
            False,
            {"unit": NONE, "description": "The instrumental."},
        ),
    ]
)

DECISIONS = (  # in the order in which they are tested
    "unreadable",
    "too_similar",
    "swapped",
    "a_cappella",
    "partly",
    "misaligned",
    "too_different",
    "kept",
)

SCORED_PAIR = pa.schema(
    [
        *CANDIDATE,
        _field(
            "difference_sum",
            "f64",
            "magnitude",
            "Thesis eq. 3.8: Σ|X − Y| of silence-stripped magnitudes.",
        ),
        _field(
            "difference",
            "f64",
            "ratio",
            "Σ|X − gY| / Σ|X| after alignment, g the gain of gain_db.",
        ),
        _field(
            "asymmetry",
            "f64",
            "−1…1",
            "Whether the mixture (> 0) or the instrumental (< 0) holds more.",
        ),
        _field("offset_s", "f64", SECONDS, "mixture(t) ≈ instrumental(t + offset_s)."),
        _field("gain_db", "f64", DECIBELS, "To apply to the instrumental."),
        _field("polarity", "i32", "±1", "−1 where the instrumental is inverted."),
        _field("drift_ppm", "f64", "ppm", "How much faster the instrumental runs."),
        _field("alignment_confidence", "f64", "0…1", "How far the correlation peak stands out."),
        _field("coherent", "bool", NONE, "Whether mixture − instrumental is a usable vocal."),
        _field(
            "residual_db",
            "str→f64",
            DECIBELS,
            "Level of mixture − instrumental relative to the mixture where the voice rests, by band.",
        ),
        _field(
            "matched_spans", "spans", SECONDS, "Where in the mixture the two match: start, end."
        ),
        _field("matched_share", "f64", "0…1", "How much of the mixture's sound the spans cover."),
        _field(
            "bass_correlation",
            "f64",
            "0…1",
            "How far the instrumental's bass is the mixture's; null where that has none.",
        ),
        _field(
            "rest_share", "f64", "0…1", "How much of the mixture sounds where the other is silent."
        ),
        _field(
            "mix_decoded_s", "f64", SECONDS, "What the original's file decodes to.", since="0.2"
        ),
        _field(
            "instrumental_decoded_s",
            "f64",
            SECONDS,
            "What the instrumental's file decodes to.",
            since="0.2",
        ),
        _field(
            "surplus_spread",
            "f64",
            "0…2",
            "How far what the mixture holds more of comes and goes, as a voice does.",
            since="0.2",
        ),
        _field(
            "channel_gains",
            "f64s",
            "ratio",
            "What of the instrumental's left and right lies in the mixture's left, and in its right, "
            "beside gain and polarity; two of them: in the sum of the mixture's by mono_gains. "
            "Null: not told, each in its own.",
            since="0.2",
        ),
        _field(
            "mono_gains",
            "f64s",
            "ratio",
            "What of the mixture's left and right makes the one channel that is compared; null: the "
            "mean.",
            since="0.2",
        ),
        _field("decision", "str", NONE, f"One of {', '.join(DECISIONS)}.", required=True),
        _field("reason", "str", NONE, "The decision's criterion with its numbers.", required=True),
    ]
)

KINDS = ("pair", "stems", "unpaired", "pseudo", "clean_target", "clean_residual")

INDEX = pa.schema(
    [
        _field(
            "sample_id", "str", NONE, "Id of the chunk, and its name in the shard.", required=True
        ),
        _field("song_id", "str", NONE, "Id of the song that the chunk is cut from.", required=True),
        _field(
            "split_group", "str", NONE, "Songs that must share a split share this.", required=True
        ),
        _field("split", "str", NONE, "train, valid or test.", required=True),
        _field("shard", "str", NONE, "Path of the shard below the corpus folder.", required=True),
        _field(
            "offset",
            "i64",
            BYTES,
            "Where the sample's first tar header begins; in a Parquet shard, the number of its row.",
            required=True,
        ),
        _field(
            "size",
            "i64",
            BYTES,
            "Of all the sample's tar entries, padding included; a Parquet shard is planned by the same.",
            required=True,
        ),
        _field("kind", "str", NONE, f"One of {', '.join(KINDS)}.", required=True),
        _field("sources", "strs", NONE, "The sources that the sample holds.", required=True),
        _field(
            "salient",
            "str→f64s",
            SECONDS,
            "Starts in the song of each source's salient windows that touch the chunk; null if not sought.",
        ),
        _field("start_s", "f64", SECONDS, "Where in the song the chunk begins.", required=True),
        _field("duration_s", "f64", SECONDS, "The chunk's length.", required=True),
        _field("sample_rate", "i32", HERTZ, "Of every source.", required=True),
        _field("channels", "i32", "count", "Of every source.", required=True),
        _field(
            "scale", "f64", "ratio", "True samples are the decoded ones times this.", required=True
        ),
        _field("track_ids", "strs", NONE, "The catalogue tracks that the sample is made of."),
        _field("licence", "str", NONE, "The terms under which the audio may be used."),
        _field("genre", "str", NONE, "The genre that the catalogue states."),
        _field("release_year", "i32", "year", "The year of release."),
        _field(
            "augmentation", "str", NONE, "Parameters of the augmentation, as JSON; null for none."
        ),
        _field(
            "energies_db",
            "str→f64",
            DECIBELS,
            "Mean power of each source, full scale = 0; if labelled, of mixture, target and rest.",
        ),
        _field("teacher_sha256", "str", NONE, "The teacher that labelled the sample."),
        _field("confidence", "f64", "0…1", "How decidedly the teacher gave each sound one side."),
        _field(
            "leftover_db",
            "f64",
            DECIBELS,
            "What of the backing is left in a pair's vocals, as it is estimated, relative to them.",
            since="0.2",
        ),
        _field(
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
        _field(
            "recording_id", "str", NONE, "Id of the pair or multitrack that was cut.", required=True
        ),
        _field("song_id", "str", NONE, "Id of the song, as in the index.", required=True),
        _field(
            "name", "str", NONE, "What a person knows it by: its folder, its file, a pair's id."
        ),
        _field("kind", "str", NONE, f"One of {', '.join(KINDS)}.", required=True),
        _field("split", "str", NONE, "train, valid or test.", required=True),
        _field(
            "split_group", "str", NONE, "Songs that must share a split share this.", required=True
        ),
        _field("joined", "strs", NONE, "Songs that it must share a split with, and why."),
        _field("duration_s", "f64", SECONDS, "Of all its chunks.", required=True),
        _field("chunks", "i64", "count", "That it was cut into.", required=True),
        _field(
            "left_out",
            "i64",
            "count",
            "Chunks of train in which no source is salient; they are not in the corpus.",
            required=True,
        ),
        _field(
            "sum_error_db",
            "f64",
            DECIBELS,
            "How far the stems' sum misses the mixture, relative to it; null without both.",
        ),
        _field(
            "residual_chunks",
            "i64",
            "count",
            "Chunks of a pair that hold vocals: mixture − accompaniment, sample by sample.",
        ),
        _field("bleed", "strs", NONE, "Sources into which others leak, as their makers say."),
        _field(
            "leftover_db",
            "f64",
            DECIBELS,
            "What of the backing is left in a pair's vocals, as it is estimated, relative to them.",
            since="0.2",
        ),
    ]
)

LANDMARKS = pa.schema(
    [
        _field(
            "recording_id", "str", NONE, "The pair or multitrack that sounds so.", required=True
        ),
        _field("source", "str", NONE, "Which side of a pair, or mixture.", required=True),
        _field("song_id", "str", NONE, "Id of the song, as in the index.", required=True),
        _field("values", "i32s", NONE, "Landmarks: two spectral peaks and the time between them."),
        _field("frames", "i32s", "32 ms", "When each landmark begins."),
    ]
)

SALIENCE = pa.schema(
    [
        _field("sample_id", "str", NONE, "Id of the chunk, as in the corpus.", required=True),
        _field("song_id", "str", NONE, "Id of the song, as in the corpus.", required=True),
        _field("split", "str", NONE, "train, valid or test.", required=True),
        _field("shard", "str", NONE, "Path of the shard below this folder.", required=True),
        _field("offset", "i64", BYTES, "Where the sample's tar header begins.", required=True),
        _field("size", "i64", BYTES, "Of the sample's tar entry, padding included.", required=True),
        _field(
            "first_frame",
            "i64",
            "256 samples at 22,050 Hz",
            "Which frame of the song the first column is.",
            required=True,
        ),
        _field(
            "first_sample",
            "i32",
            "samples at 22,050 Hz",
            "Where in the chunk that frame is centred.",
            required=True,
        ),
        _field("frames", "i32", "count", "Columns that the chunk holds.", required=True),
        _field(
            "voiced", "f64", "0…1", "How many of them reach the threshold of 0.4.", required=True
        ),
        _field(
            "targets",
            "str",
            NONE,
            "single: one ridge a frame; multi: all that the teacher gave.",
            required=True,
        ),
        _field(
            "teacher", "str", NONE, "Who gave the pitch: swift-f0 or deep-salience.", required=True
        ),
        _field("teacher_sha256", "str", NONE, "Of the teacher's weights.", required=True),
        _field(
            "voices_share",
            "f64",
            "0…1",
            "How much of the song's voiced time Deep Salience hears several voices; null if not asked.",
        ),
        _field(
            "several_voices",
            "bool",
            NONE,
            "Whether that is too much for one ridge a frame; null if not asked.",
        ),
        _field(
            "sha256",
            "str→str",
            NONE,
            "Of each file of the sample, by its extension.",
            required=True,
        ),
    ]
)

REJECT = pa.schema(
    [
        _field("stage", "str", NONE, "The verb that could not use the record.", required=True),
        _field("key", "str", NONE, "The record's id, or where it lies.", required=True),
        _field("error", "str", NONE, "The cause in one word, to group by.", required=True),
        _field("message", "str", NONE, "The cause in a sentence.", required=True),
        _field("record", "str", NONE, "The record as JSON, without audio.", required=True),
    ]
)


def reject(
    stage: str, key: str, error: str, message: str, record: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """A row of schemas.REJECT.

    Args:
        stage: the verb that could not use the record.
        key: the record's id, or where it lies (`catalogue.csv row 7`).
        error: the cause in one word, to group by.
        message: the cause in a sentence.
        record: what is known of the record, without audio.
    """
    facts = json.dumps(record or {}, sort_keys=True, ensure_ascii=False, default=str)
    return {"stage": stage, "key": key, "error": error, "message": message, "record": facts}


TABLES = {
    "catalogue": TRACK,
    "candidates": CANDIDATE,
    "pairs": SCORED_PAIR,
    "index": INDEX,
    "songs": SONG,
    "landmarks": LANDMARKS,
    "salience": SALIENCE,
    "rejects": REJECT,
}
VERSIONS = {**dict.fromkeys(TABLES, 1), "shards": 1}  # of what is written now
_TABLE_FILE = re.compile(r"([a-z]+)(?:-append\d+)?-\d{5}-of-\d{5}\.parquet")
_SHARD_FILE = re.compile(r"(?:train|valid|test)/[^/]+")


def name_of(path: str) -> str:
    """Which of VERSIONS a run's file is by its path below the run folder; empty for another."""
    if _SHARD_FILE.fullmatch(path):
        return "shards"
    found = _TABLE_FILE.fullmatch(path)
    return found[1] if found and found[1] in TABLES else ""


def schema_of(path: str) -> pa.Schema | None:
    """The schema of a table by the name of one of its files, wherever that lies."""
    return TABLES.get(name_of(path.rpartition("/")[2]))


def versions_of(outputs: Iterable[str]) -> dict[str, int]:
    """The versions of a run's tables and shards, by its files' paths below the run folder."""
    names = {name_of(path) for path in outputs} - {""}
    return {name: VERSIONS[name] for name in sorted(names)}


def unknown_version(stated: object) -> str:
    """Says what of a run's `schemas` this Stemlode cannot read; empty where it can read all.

    A run without any was written before versions were, and is of version 1.
    """
    if stated is None:
        return ""
    if not isinstance(stated, dict):
        return "schemas is no object"
    for name, version in sorted(stated.items()):
        if type(version) is not int or version < 1:
            return f"schemas says {name} {version!r}, which is no version"
        if version > VERSIONS.get(name, version):
            return (
                f"version {version} of its {name} was written by a later Stemlode, and this one "
                f"reads up to {VERSIONS[name]}; update Stemlode"
            )
    return ""


def lacking(schema: pa.Schema, names: Sequence[str]) -> list[str]:
    """The columns that a table of any age must have and this one, by its columns, has not."""
    return [
        field.name
        for field in schema
        if field.name not in names and b"since" not in (field.metadata or {})
    ]
