"""`stemlode scan`: a folder of audio → a catalogue, from tags and headers; nothing is decoded.

Lengths are those that `prune` will hear: as a header states them, and where none does, counted
frame by frame, for which the file is read (see docs/audio.md). A tag library would guess them.
"""

import argparse
import functools
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import mutagen
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import TaggedOutput

from matching.titles import artist_key
from pipelines import estimates, transforms
from pipelines.estimates import Estimate
from pipelines.launch import launch
from pipelines.options import Verb, VerbOptions, add_no_follow_links
from pipelines.remote.workers import AUDIO
from stemlode import audio, files, runs, schemas, tables
from stemlode.addresses.rules import REFUSED, SAID
from stemlode.audio import kinds
from stemlode.audio.containers import opening
from stemlode.ids import digest
from stemlode.progress import meters
from stemlode.runs import BadUsage
from stemlode.schemas import reject

# column → the tags that may hold it, by the names of mutagen's easy interface
TAGS = {
    "artist": ("artist", "albumartist"),
    "title": ("title",),
    "album": ("album",),
    "genre": ("genre",),
    "isrc": ("isrc",),
    "licence": ("license", "copyright"),
    "recording_id": ("musicbrainz_trackid",),
    "work_id": ("musicbrainz_workid",),
    "date": ("date", "originaldate", "year"),
}
SAMPLE = 64  # files of each ending that an estimate looks at
_TRACK_NUMBER = re.compile(r"^\d{1,3}(?:\s*[-._)]\s*|\s+)(?=\S)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class ScanOptions(VerbOptions):
    """What counts as audio."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--extensions",
            default=",".join(kinds.EXTENSIONS),
            help="file name endings that are audio; other files are left out and counted. A run "
            "that was begun before there were so many goes on with those of then",
        )
        estimates.add_arguments(parser, "look at a few files and print what all would take")
        add_no_follow_links(parser)


class ReadTags(beam.DoFn):
    """The path of an audio file → a row of schemas.TRACK, or one reject."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def process(self, path: str) -> Iterator[Any]:
        name = path.removeprefix(self.folder).lstrip("/")
        try:
            with meters.item("files", name):
                info = audio.probe(path, count=True)
                tags = read_tags(path)
        except audio.AudioError as error:
            row = reject("scan", name, error.error, str(error), {"path": path})
            meters.step("files")
            yield TaggedOutput("rejects", row)
        else:
            meters.add("audio_seconds", info.duration_s)
            yield track(path, name, info, tags)


def read_tags(path: str) -> dict[str, str]:
    """The tags that a file has, by column of TAGS."""
    with opening.open_bytes(path) as file:
        try:
            found = mutagen.File(file, easy=True)
        except Exception:  # on hostile bytes it raises far more than its own errors
            found = None
    return {} if found is None else _texts(found)


def track(path: str, name: str, info: audio.AudioInfo, tags: dict[str, str]) -> dict[str, Any]:
    """A row of schemas.TRACK; `name` is the path below the scanned folder.

    What the tags do not say is guessed from the name: "Artist - Title", or the folders
    Artist/Album/Title.
    """
    guessed = from_name(name, posixpath.basename(path[: -len(name)].rstrip("/")))
    artist = tags.get("artist", guessed["artist"])
    year = re.search(r"\d{4}", tags.get("date", ""))
    return {
        "track_id": digest(name),
        "artist_id": digest(artist_key(artist)),
        "artist": artist,
        "title": tags.get("title", guessed["title"]),
        "duration_s": info.duration_s,
        "duration_source": info.duration_source,
        "audio_uri": path,
        "album": tags.get("album", guessed.get("album")),
        "release_year": int(year[0]) if year else None,
        **{column: tags.get(column) for column in ("genre", "isrc", "licence")},
        **{column: tags.get(column) for column in ("recording_id", "work_id")},
        "extra": None,
    }


def from_name(name: str, root: str) -> dict[str, str]:
    """Artist, title and perhaps album, guessed from a path below a folder called `root`."""
    *folders, base = name.split("/")
    stem = _TRACK_NUMBER.sub("", _plain(posixpath.splitext(base)[0])) or base
    artist, dash, title = stem.partition(" - ")
    if dash and artist.strip() and title.strip():
        return {"artist": artist.strip(), "title": title.strip()}
    if len(folders) > 1:
        return {"artist": _plain(folders[-2]), "album": _plain(folders[-1]), "title": stem}
    return {"artist": _plain(folders[-1] if folders else root) or "unknown", "title": stem}


def _texts(found: mutagen.FileType) -> dict[str, str]:
    """The wanted tags, several values joined by a comma; ID3 frames where there is no easy view."""
    texts = {}
    for column, names in TAGS.items():
        values = next((value for name in names if (value := _tag(found, name))), None)
        text = _plain(", ".join(map(str, values))) if values else ""
        if text:
            texts[column] = text
    return texts


# mutagen has no easy view of the ID3 tags in WAV and AIFF
_ID3 = {"artist": "TPE1", "title": "TIT2", "album": "TALB", "genre": "TCON", "isrc": "TSRC"}
_ID3 |= {"date": "TDRC", "copyright": "TCOP", "albumartist": "TPE2"}


def _tag(found: mutagen.FileType, name: str) -> list[Any] | None:
    for key in (name, _ID3.get(name)):
        try:
            value = found[key] if key else None
        except (KeyError, ValueError, TypeError):
            continue
        if value:
            return list(value) if not isinstance(value, str) else [value]
    return None


def _plain(text: str) -> str:
    """Without control characters, which players put into tags and names to pad them."""
    return _CONTROL.sub(" ", text).encode("utf-8", "replace").decode().strip()


def build(pipeline: beam.Pipeline, options: PipelineOptions, run: runs.Run) -> None:
    """The pipeline: folder → files → tags → catalogue."""
    folder = VERB.given(options)["music"]
    endings = options.view_as(ScanOptions).extensions.lower().split(",")
    follow = not options.view_as(ScanOptions).no_follow_links
    wanted = {ending.strip().lstrip(".") for ending in endings}
    folders = pipeline | "Folder" >> beam.Create([folder])
    found = folders | "List" >> beam.FlatMap(listed, wanted, follow=follow).with_outputs(
        "rejects", "counts", main="audio"
    )
    read = (
        found.audio
        | "Spread" >> beam.Reshuffle()
        | "ReadTags" >> beam.ParDo(ReadTags(folder)).with_outputs("rejects", main="tracks")
    )
    tracks = read.tracks | "Catalogue" >> transforms.WriteTable(
        run, "catalogue", schemas.TRACK, ["track_id"]
    )
    rejected = (found.rejects, read.rejects) | "AllRejects" >> beam.Flatten()
    rejects = rejected | "Rejects" >> transforms.WriteTable(
        run, "rejects", schemas.REJECT, ["stage", "key"]
    )
    zeros = [(name, 0) for name in ("files", "not_audio", "tracks", "rejected", "audio_seconds")]
    counts = (
        pipeline | "Zeros" >> beam.Create(zeros),
        found.counts,
        read.tracks | "CountTracks" >> beam.Map(lambda _: ("tracks", 1)),
        read.tracks | "Length" >> beam.Map(lambda row: ("audio_seconds", round(row["duration_s"]))),
        rejected | "CountRejects" >> beam.Map(lambda _: ("rejected", 1)),
    ) | "Counts" >> beam.Flatten()
    _ = (
        (tracks, rejects) | "Manifest" >> beam.Flatten(),
        counts,
    ) | transforms.Finish(
        run, notes=films_left_out, held_back=functools.partial(nothing_found, folder)
    )


def films_left_out(counts: Mapping[str, float]) -> list[str]:
    """What a user should know of the files that were left out."""
    count = round(counts.get("films", 0))
    endings = ", ".join(f".{ending}" for ending in kinds.FILMS)
    said = f"{count:,} films ({endings}) are left out; --extensions takes them in"
    return [said] if count else []


def nothing_found(
    folder: str, run: runs.Run, counts: Mapping[str, float], outputs: Sequence[str]
) -> str | None:
    """Why a catalogue is none: it holds no track. None where it holds any."""
    if counts["tracks"]:
        return None
    files_said = f"{counts['files']:,} files, {counts['not_audio']:,} of which have other endings"
    if not counts["rejected"]:
        held = files_said if counts["files"] else "no file at all"
        return f"--music {folder}: holds no audio: {held} (--extensions says which are audio)"
    return (
        f"--music {folder}: no track came of it: {files_said}, and {counts['rejected']:,} are "
        f"rejected; {run.output}/rejects-*.parquet say why"
    )


def listed(folder: str, wanted: set[str], *, follow: bool = True) -> Iterator[Any]:
    """Audio files by their endings; a name that no table can hold is a reject, and so is a folder
    that cannot be looked into, and a link that leads out of the folder if it must not."""
    closed: list[OSError] = []
    leaving: list[str] = []
    found = files.list_files(
        folder,
        follow_links=True,
        unreadable=closed.append,
        leaving=None if follow else leaving.append,
    )
    for path in leaving:
        shown = path.encode("utf-8", "backslashreplace").decode()
        yield TaggedOutput("counts", ("files", 1))
        message = f"{SAID}: a link that leads out of the folder (--no-follow-links)"
        name = shown.removeprefix(folder).lstrip("/")
        yield TaggedOutput("rejects", reject("scan", name, REFUSED, message, {"path": shown}))
    for error in closed:
        shown = str(error.filename).encode("utf-8", "backslashreplace").decode()
        name = shown.removeprefix(folder).lstrip("/") or "."
        yield TaggedOutput("counts", ("files", 1))  # of which it holds who knows how many
        message = f"cannot be looked into: {runs.reason(error)}"
        yield TaggedOutput("rejects", reject("scan", name, "folder", message, {"path": shown}))
    for path in found:
        yield TaggedOutput("counts", ("files", 1))
        shown = path.encode("utf-8", "backslashreplace").decode()
        if kinds.extension(path) not in wanted:
            yield TaggedOutput("counts", ("not_audio", 1))
            if kinds.extension(path) in kinds.FILMS:
                yield TaggedOutput("counts", ("films", 1))
        elif shown != path:
            name = shown.removeprefix(folder).lstrip("/")
            message = "the file's name is not UTF-8: rename it"
            yield TaggedOutput("rejects", reject("scan", name, "name", message, {"path": shown}))
        else:
            meters.expect("files", 1)
            yield path


def expected(folder: str, wanted: set[str], *, follow: bool = True) -> Estimate:
    """What a run would take, from looking at some files of each ending."""
    listing = estimates.given(listed(folder, wanted, follow=follow))
    by_ending: dict[str, list[str]] = {}
    for path in listing.main:
        by_ending.setdefault(kinds.extension(path), []).append(path)
    found = Estimate("files", 0, len(listing.main), 0, "tracks", 0, 0, 0, 0, 0)
    step, rows = ReadTags(folder), []
    for paths in by_ending.values():
        some, took = estimates.chosen(paths, SAMPLE), estimates.Took()
        with estimates.timed(took):
            given = estimates.given(one for path in some for one in step.process(path))
        sizes, part = estimates.sizes_of(paths), sum(estimates.sizes_of(some) or ())
        more = len(paths) / len(some)
        longer = sum(sizes) / part if sizes and part else more
        found.sampled += len(some)
        found.rows += len(given.main) * more
        found.hours += sum(row["duration_s"] for row in given.main) / 3600 * longer
        found.read_bytes += part * longer
        found.core_hours += took.cpu_s / 3600 * more
        found.rejected += len(given.rejects) * more
        found.rejects.update(row["error"] for row in given.rejects)
        rows += given.main
    found.rejected += len(listing.rejects)
    found.rejects.update(row["error"] for row in listing.rejects)
    table = pa.Table.from_pylist(rows, schemas.TRACK)
    half = len(rows) // 2  # compressed, each further row takes less
    each = (tables.size(table) - tables.size(table.slice(0, half))) / max(1, len(rows) - half)
    found.written_bytes = tables.size(table) + each * max(0.0, found.rows - len(rows))
    found.disk_bytes = found.written_bytes
    return found


def _endings(view: Any) -> set[str]:
    return {ending.strip().lstrip(".") for ending in view.extensions.lower().split(",")}


VERB = Verb(
    "scan",
    "Make a catalogue of a folder of audio from tags, file names and headers; nothing is decoded.",
    ("music",),
    build,
    ScanOptions,
    positional="music",
    neutral=estimates.OPTIONS,
    dry=("estimate",),
    added={"no_follow_links": False},
    formerly={"extensions": ",".join(kinds.FORMER_EXTENSIONS)},
    named=("music",),
    imports={"mutagen": "", **AUDIO},
)
parser = VERB.parser


def main(argv: Sequence[str]) -> int:
    """Run `stemlode scan`; the exit status."""
    folder = VERB.given(VERB.parse(argv))["music"]
    if files.is_file(folder):
        raise BadUsage(f"--music {folder}: is a file; name the folder that holds it")
    options = VERB.parse(argv)
    view = options.view_as(ScanOptions)
    if view.estimate:
        if not runs.fingerprintable(folder):
            raise BadUsage(f"--music {folder}: no such file or folder")
        follow = not view.no_follow_links
        estimates.show(lambda: expected(folder, _endings(view), follow=follow), view.prices)
        return 0
    return launch(VERB, argv)
