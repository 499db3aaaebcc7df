"""ListenBrainz' export of a user's listens: the .zip, or the files in it. Free of Beam.

A listen is a row; a track that was heard again is there again, and kept once. Its id is the
recording's at MusicBrainz, where ListenBrainz knows it, else its own (`recording_msid`). Artists
are told apart by their names, for the ids of many are unknown.
"""

import contextlib
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import IO, Any

from pipelines.catalogue.formats import json_rows
from pipelines.catalogue.formats.json_rows import Objects
from pipelines.catalogue.formats.rows import CataloguePart, Rows
from pipelines.catalogue.formats.text import Opening
from pipelines.catalogue.sources.files import Files, format_of
from stemlode import files
from stemlode.runs import BadUsage
from stemlode.tables import Row

ARCHIVE, MAGIC = ".zip", b"PK"
_LISTENS = re.compile(r"(?:.*/)?listens/\d+/\d+\.jsonl")
_OTHERS = ("user.json", "feedback.jsonl", "pinned_recording.jsonl")  # in the same archive
_METADATA = "track_metadata"


class ListenBrainz(Files):
    """JSON Lines or an array of listens, or an archive of such files."""

    wanted = "file that ends in .zip, .jsonl or .json"
    what = "an export of listens from ListenBrainz"
    signs = (frozenset({_METADATA}),)

    @staticmethod
    def reading(objects: Objects) -> Objects:
        """Listens as rows with our columns."""
        for listen, broken in objects:
            yield (None, broken) if listen is None else _row(listen)

    def holds(self, path: str) -> bool:
        name = PurePosixPath(path.lower()).name
        return name not in _OTHERS and (name.endswith(ARCHIVE) or format_of(path) == "json")

    def is_open(self, path: str) -> bool:
        return True

    def column_names(self, path: str) -> list[str]:
        with self.naming(path):
            for part in self.parts(path):
                names = json_rows.names(path, _as_they_stand, self.dialect, _opening(part))
                if names and _METADATA not in names:
                    raise BadUsage(
                        f"{path}: is no export of listens from ListenBrainz: its entries have "
                        f"{', '.join(names)}, and no {_METADATA}"
                    )
                if names:
                    return list(track({_METADATA: {}}))
        return []

    def parts(self, path: str) -> list[CataloguePart]:
        if not path.lower().endswith(ARCHIVE):
            return [CataloguePart(path)]
        with self.naming(path), _archive(path) as archive:
            names = archive.namelist()
        found = [place for place, name in enumerate(names) if _LISTENS.fullmatch(name)]
        if not found:
            raise BadUsage(
                f"{path}: is no export of listens from ListenBrainz: it holds no listens/YEAR/"
                "MONTH.jsonl"
            )
        return [CataloguePart(path, (place,)) for place in found]

    def batches(self, part: CataloguePart, columns: Sequence[str] | None = None) -> Iterator[Rows]:
        with self.naming(part.path):
            yield from json_rows.batches(part.path, self.reading, self.dialect, _opening(part))


def track(listen: Row) -> Row:
    """A listen as a row with our columns; what differs from listen to listen is left out."""
    said = _object(listen[_METADATA])
    mapped, info = _object(said.get("mbid_mapping")), _object(said.get("additional_info"))
    recording = mapped.get("recording_mbid") or info.get("recording_mbid")
    own = said.get("recording_msid") or listen.get("recording_msid") or info.get("recording_msid")
    artists = mapped.get("artist_mbids") or info.get("artist_mbids")
    ids = [one for one in artists if isinstance(one, str)] if isinstance(artists, list) else []
    return {
        "track_id": recording or own,
        "title": said.get("track_name"),
        "artist": said.get("artist_name"),
        "artist_ids": ids,
        "duration_s": _duration(info),
        "album": said.get("release_name"),
        "isrc": info.get("isrc"),
        "recording_id": recording,
    }


def _duration(info: Row) -> Any:
    """In seconds; what is no number of milliseconds stays as it is, and is told so."""
    length = info.get("duration_ms")
    if length is None:
        return info.get("duration")
    with contextlib.suppress(TypeError, ValueError):
        return float(length) / 1000
    return length


def _row(listen: Row) -> tuple[Row | None, tuple[str, str] | None]:
    if isinstance(listen.get(_METADATA), dict):
        return track(listen), None
    return None, (json.dumps(listen, ensure_ascii=False), f"no listen: it has no {_METADATA}")


def _as_they_stand(objects: Objects) -> Objects:
    return objects


def _object(value: Any) -> Row:
    return value if isinstance(value, dict) else {}


def _opening(part: CataloguePart) -> Opening | None:
    """How a file in an archive is opened; None for a file that lies alone."""
    if part.row_groups is None:
        return None
    (place,) = part.row_groups

    @contextlib.contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with _archive(part.path) as archive, archive.open(archive.infolist()[place]) as file:
            yield file

    return opened


@contextlib.contextmanager
def _archive(path: str) -> Iterator[zipfile.ZipFile]:
    with files.open_input(path) as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise BadUsage(f"{path}: is no .zip")
        with zipfile.ZipFile(file) as archive:
            yield archive
