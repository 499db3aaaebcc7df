"""A plain implementation of eq. 3.1 and 3.4-3.6, which shares no code with ours."""

import hashlib
import re
from collections import defaultdict
from typing import Any

from unidecode import unidecode

Row = dict[str, Any]


def plain_key(title: str) -> str:
    text = unidecode(title).lower().strip(" \t\n\r\f\v")
    text = re.split(r"\(|\[| - ", text)[0].replace("&", "and")
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    for digit, word in enumerate(words):
        text = re.sub(rf"\b{word}\b", str(digit), text)
    return re.sub("[^a-z0-9]", "", re.sub(r"^the\b", "", text))


def plain_marker(title: str) -> str | None:
    found = re.search("instrumental|karaoke", unidecode(title).lower())
    return found[0] if found else None


def plain_digest(*parts: str) -> str:
    joined = b"".join(str(len(p.encode())).encode() + b":" + p.encode() for p in parts)
    return hashlib.sha256(joined).hexdigest()[:32]


def plain_pairs(tracks: list[Row], tolerance_s: float = 1.0) -> list[Row]:
    """Nested loops over the tracks of each artist."""
    by_artist = defaultdict(list)
    for track in tracks:
        if track["duration_s"] is not None and track["duration_s"] > 0:
            facts = (plain_key(track["title"]), plain_marker(track["title"]), track)
            by_artist[track["artist_id"]].append(facts)
    found = []
    for artist_id, own in by_artist.items():
        instrumentals = [facts for facts in own if facts[1]]
        for key, marker, mix in own:
            for other_key, other_marker, instrumental in instrumentals:
                difference = mix["duration_s"] - instrumental["duration_s"]
                if not marker and key == other_key != "" and abs(difference) < tolerance_s:
                    found.append(
                        {
                            "pair_id": plain_digest(mix["track_id"], instrumental["track_id"]),
                            "song_id": plain_digest(artist_id, key),
                            "mix_track_id": mix["track_id"],
                            "instrumental_track_id": instrumental["track_id"],
                            "artist_id": artist_id,
                            "fuzzy_title": key,
                            "duration_difference_s": difference,
                            "marker": other_marker,
                            "rule": "thesis",
                            "mix_audio_uri": mix.get("audio_uri"),
                            "instrumental_audio_uri": instrumental.get("audio_uri"),
                        }
                    )
    return sorted(found, key=lambda row: row["pair_id"])
