"""What people call the songs, tracks and folders that runs know by ids and paths."""

import posixpath
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.pages.inputs import Folder
from stemlode import files, runs

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")  # of `stemlode.ids`
_PAIR = ("pair_id", "song_id", "mix_track_id", "instrumental_track_id")
_TITLES = ("mix.title", "mix.artist", "instrumental.title", "instrumental.artist")


class Names:
    """Names of songs by their ids, from the tables of all runs on the page."""

    def __init__(self, folders: Sequence[Folder]) -> None:
        self._folders = folders
        self._found: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """A text in which every id that is known has become a name, said once."""
        ids = _ID.findall(text)
        if not ids:
            return text
        if not _ID.sub("", text).strip():
            return ", ".join(dict.fromkeys(map(self._name, ids)))
        return _ID.sub(lambda match: self._name(match[0]), text)

    def _name(self, found: str) -> str:
        if found not in self._found:
            self._found[found] = self._look(found)
        return self._found[found]

    def _look(self, wanted: str) -> str:
        for table in self._pairs:
            for column in _PAIR:
                row = pc.index(table[column], wanted).as_py()
                if row >= 0:
                    side = "instrumental" if column.startswith("instrumental") else "mix"
                    title, artist = (
                        str(table[f"{side}.{name}"][row].as_py() or "")
                        for name in ("title", "artist")
                    )
                    return f"{artist} – {title}" if artist and title else title or artist or wanted
        for table in self._songs:
            row = pc.index(table["song_id"], wanted).as_py()
            name = str(table["name"][row].as_py() or "") if row >= 0 else ""
            if name and name != wanted:
                return self(name)  # which may be a pair's id
        return wanted

    @cached_property
    def _pairs(self) -> list[pa.Table]:
        tables = {"prune": "pairs", "match": "candidates"}
        order = sorted(self._folders, key=lambda folder: folder.verb != "prune")
        found = [
            folder.table(tables[folder.verb], [*_PAIR, *_TITLES])
            for folder in order
            if folder.verb in tables
        ]
        return [table for table in found if table is not None]

    @cached_property
    def _songs(self) -> list[pa.Table]:
        corpora = [f for f in self._folders if f.verb in ("corpus", "pseudolabel")]
        found = [folder.table("songs", ["song_id", "name"]) for folder in corpora]
        return [table for table in found if table is not None]


def root(folders: Sequence[Folder]) -> str:
    """The folder that all runs lie in."""
    parents = [folder.path.rstrip("/").split("/")[:-1] for folder in folders]
    shared = []
    for parts in zip(*parents, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


def below(path: str, start: str) -> str:
    """A path as seen from a folder that it may lie in."""
    return path.removeprefix(f"{start}/") if start.strip("/") else path


def base(path: str) -> str:
    """A folder's own name."""
    return posixpath.basename(path.rstrip("/"))


def finished(folders: Sequence[Folder]) -> str:
    """When the last of some runs finished, in UTC; empty where their store does not say."""
    found = []
    for folder in folders:
        for _, _, changed in files.stamps(files.join(folder.path, runs.SUCCESS)):
            try:
                found.append(datetime.fromtimestamp(float(changed), UTC))
            except ValueError:
                try:
                    found.append(datetime.fromisoformat(changed).astimezone(UTC))
                except ValueError:
                    continue
            except (OverflowError, OSError):
                continue
    return f"{max(found):%d %B %Y, %H:%M} UTC".lstrip("0") if found else ""
