"""Pairs of an original and an instrumental: proposed by `match`, scored by `prune`."""

import pyarrow as pa

from stemlode.schemas.catalogue import TRACK
from stemlode.schemas.fields import DECIBELS, NONE, SECONDS, field

CANDIDATE = pa.schema(
    [
        field(
            "pair_id", "str", NONE, "digest(mix_track_id, instrumental_track_id).", required=True
        ),
        field("song_id", "str", NONE, "digest(artist_id, fuzzy_title).", required=True),
        field("mix_track_id", "str", NONE, "Track id of the original.", required=True),
        field("instrumental_track_id", "str", NONE, "Track id of the instrumental.", required=True),
        field("artist_id", "str", NONE, "The artist id that both share.", required=True),
        field("fuzzy_title", "str", NONE, "The normalised title that both share.", required=True),
        field(
            "duration_difference_s", "f64", SECONDS, "Original minus instrumental.", required=True
        ),
        field("marker", "str", NONE, "What marked the instrumental as one.", required=True),
        field("rule", "str", NONE, "The rule that proposed the pair.", required=True),
        field("mix_audio_uri", "str", NONE, "Audio of the original."),
        field("instrumental_audio_uri", "str", NONE, "Audio of the instrumental."),
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

REPAIRS = ("speed", "wow", "parts", "level", "equalised")

SCORED_PAIR = pa.schema(
    [
        *CANDIDATE,
        field(
            "difference_sum",
            "f64",
            "magnitude",
            "Thesis eq. 3.8: Σ|X − Y| of silence-stripped magnitudes.",
        ),
        field(
            "difference",
            "f64",
            "ratio",
            "Σ|X − gY| / Σ|X| after alignment, g the gain of gain_db.",
        ),
        field(
            "asymmetry",
            "f64",
            "−1…1",
            "Whether the mixture (> 0) or the instrumental (< 0) holds more.",
        ),
        field("offset_s", "f64", SECONDS, "mixture(t) ≈ instrumental(t + offset_s)."),
        field("gain_db", "f64", DECIBELS, "To apply to the instrumental."),
        field("polarity", "i32", "±1", "−1 where the instrumental is inverted."),
        field("drift_ppm", "f64", "ppm", "How much faster the instrumental runs."),
        field("alignment_confidence", "f64", "0…1", "How far the correlation peak stands out."),
        field("coherent", "bool", NONE, "Whether mixture − instrumental is a usable vocal."),
        field(
            "residual_db",
            "str→f64",
            DECIBELS,
            "Level of mixture − instrumental relative to the mixture where the voice rests, by band.",
        ),
        field("matched_spans", "spans", SECONDS, "Where in the mixture the two match: start, end."),
        field("matched_share", "f64", "0…1", "How much of the mixture's sound the spans cover."),
        field(
            "bass_correlation",
            "f64",
            "0…1",
            "How far the instrumental's bass is the mixture's; null where that has none.",
        ),
        field(
            "rest_share", "f64", "0…1", "How much of the mixture sounds where the other is silent."
        ),
        field("mix_decoded_s", "f64", SECONDS, "What the original's file decodes to.", since="0.2"),
        field(
            "instrumental_decoded_s",
            "f64",
            SECONDS,
            "What the instrumental's file decodes to.",
            since="0.2",
        ),
        field(
            "surplus_spread",
            "f64",
            "0…2",
            "How far what the mixture holds more of comes and goes, as a voice does.",
            since="0.2",
        ),
        field(
            "channel_gains",
            "f64s",
            "ratio",
            "What of the instrumental's left and right lies in the mixture's left, and in its right, "
            "beside gain and polarity; two of them: in the sum of the mixture's by mono_gains. "
            "Null: not told, each in its own.",
            since="0.2",
        ),
        field(
            "mono_gains",
            "f64s",
            "ratio",
            "What of the mixture's left and right makes the one channel that is compared; null: the "
            "mean.",
            since="0.2",
        ),
        field(
            "clock",
            "pieces",
            SECONDS,
            "Which time of the instrumental belongs to which of the mixture, piece by piece: start and "
            "end in the mixture, start and end in the instrumental. Pieces that join are one smooth "
            "curve. Null: offset_s holds throughout.",
            since="0.2",
        ),
        field(
            "repaired",
            "str",
            NONE,
            f"What was mended before all else was measured: {', '.join(REPAIRS)}; several joined by +. "
            "Null: nothing.",
            since="0.2",
        ),
        field("decision", "str", NONE, f"One of {', '.join(DECISIONS)}.", required=True),
        field("reason", "str", NONE, "The decision's criterion with its numbers.", required=True),
    ]
)
