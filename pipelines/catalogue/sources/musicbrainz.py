"""MusicBrainz JSON dumps: recordings as rows of a catalogue. Free of Beam.

A dump is an archive such as `recording.tar.xz` that holds `mbdump/recording`: one object a line.
"""

from typing import Any

from pipelines.catalogue.formats.json_rows import Objects
from stemlode.tables import Row

UNKNOWN = "125ec42a-7229-4250-afc5-e057484327fe"  # the artist [unknown], who is many
RECORDINGS = "recording"  # the file in a dump's archive
_NO_TITLES = ("[unknown]", "[untitled]", "[silence]", "[data track]")  # of no title, or no music
_MARKERS = ("instrumental", "karaoke")  # attributes of a performance, too
_OTHERS = {  # what only objects of another kind have
    "iswcs": "works",
    "sort-name": "artists or labels",
    "primary-type": "release groups",
    "barcode": "releases",
}


def tracks(objects: Objects) -> Objects:
    """Objects as they stand, but for a dump's recordings, which become tracks."""
    for row, broken in objects:
        yield (track(row) if row and _is_recording(row) else row), broken


def _is_recording(row: Row) -> bool:
    return "artist-credit" in row and "length" in row and "id" in row


def other_kind(names: list[str]) -> str | None:
    """What objects with these names are, where they are of a dump but no recordings."""
    if "id" not in names:
        return None
    return next((kind for name, kind in _OTHERS.items() if name in names), None)


def track(recording: Row) -> Row:
    """A recording as a row with our columns; values of unexpected types are left out.

    The title gets the disambiguation as a comment, for that is where MusicBrainz says that a
    recording is an instrumental or live; where neither says so, it gets what the relation to the
    work says. What stands for no title is none. `artist` is the credit as printed, `artist_id` the
    first artist of it who is known, `work_id` the work where there is exactly one. The length is in
    milliseconds there.
    """
    credits = [entry for entry in _list(recording.get("artist-credit")) if isinstance(entry, dict)]
    artists = [entry["artist"] for entry in credits if isinstance(entry.get("artist"), dict)]
    ids = [artist["id"] for artist in artists if isinstance(artist.get("id"), str)]
    known = [one for one in ids if one != UNKNOWN]
    isrcs = [code for code in _list(recording.get("isrcs")) if isinstance(code, str)]
    performances = [
        relation
        for relation in _list(recording.get("relations"))
        if isinstance(relation, dict) and isinstance(relation.get("work"), dict)
    ]
    works = {str(relation["work"].get("id")) for relation in performances}
    length, printed = recording.get("length"), _text(recording.get("title")).strip()
    is_number = isinstance(length, int | float) and not isinstance(length, bool)
    return {
        "track_id": recording.get("id"),
        "title": None if printed.lower() in _NO_TITLES else _title(recording, performances),
        "printed_title": printed if printed.lower() in _NO_TITLES else None,
        "artist": "".join(_text(e.get("name")) + _text(e.get("joinphrase")) for e in credits)
        if known or not ids
        else None,
        "artist_id": known[0] if known else None,
        "artist_ids": known,
        "duration_s": length / 1000 if is_number else None,  # type: ignore[operator]
        "isrc": isrcs[0] if isrcs else None,
        "recording_id": recording.get("id"),
        "work_id": works.pop() if len(works) == 1 else None,
        "release_year": recording.get("first-release-date"),
        "disambiguation": recording.get("disambiguation") or None,
        "is_video": True if recording.get("video") is True else None,
    }


def _title(recording: Row, performances: list[Row]) -> str:
    title, comment = _text(recording.get("title")), _text(recording.get("disambiguation"))
    if not title:
        return ""
    said = f"{title} ({comment})" if comment else title
    attributes = {str(word) for p in performances for word in _list(p.get("attributes"))}
    unsaid = [word for word in _MARKERS if word in attributes]
    if unsaid and not any(word in said.lower() for word in _MARKERS):
        return f"{said} ({unsaid[0]})"
    return said


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
