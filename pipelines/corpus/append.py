"""Additions to a finished corpus: more songs, or another try at those that were rejected.

What is there stays untouched: new samples go into new shards, numbered on, with tables of their own
(`index-append1-…`); an index of an earlier version is written anew with theirs. Until the last step
replaces `run.json`, the folder is the corpus it was, so that readers may go on; `_APPEND.json` says
what is being added, for a rerun to resume. No Beam.
"""

import dataclasses
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow.compute as pc

from matching.artists import Artist
from pipelines.corpus.splits import SplitFacts, SplitGroup
from pipelines.summary import REJECTS
from stemlode import files, locks, plans, runs, schemas, tables
from stemlode.addresses.rules import NOT_OPENED
from stemlode.cards import NAMES
from stemlode.runs import BadUsage, Failed
from stemlode.shards.tar import SHARD

APPEND, RETRY = "append", "retry_rejects"
CARDS = files.join(runs.PARTS, "cards")  # of an addition, until it is in the record
OF_LISTS = 3  # the first version of the index without maps
_LEFT_OVER = re.compile(
    "|".join((f"{runs.PARTS}/.*", r"[a-z]+-append\d+-\d{5}-of-\d{5}\.parquet", SHARD.pattern))
)


@dataclasses.dataclass(frozen=True)
class Addition(runs.Run):
    """A run into a folder that holds a finished corpus."""

    kind: str = APPEND
    number: int = 1

    def finish(
        self,
        counts: dict[str, Any],
        outputs: dict[str, str],
        *,
        held_back: str | None = None,
        **facts: Any,
    ) -> None:
        """Clear what killed attempts left, then replace `run.json`: only then is anything added.

        Nothing is where the addition is `held_back`: Failed, as by `Run.finish`.
        """
        self.forget_failures()
        if held_back is not None:
            files.write_bytes(self.path(runs.ERROR), f"{runs.on_one_line(held_back)}\n".encode())
            raise Failed(runs.on_one_line(held_back))
        record = runs.record(self.output)
        if len(record.get("additions", [])) < self.number:  # else done before, but not cleared
            self._record(record, counts, outputs)
        _clear(self.output)
        locks.release(self.output)
        files.remove(self.path(locks.NAME))

    def together(self, record: Mapping[str, Any], outputs: Mapping[str, str]) -> dict[str, str]:
        """The files of the whole corpus: those of before that are not replaced, and those added."""
        replaced = ("rejects-", "index-") if has_old_index(record) else ("rejects-",)
        before = record["outputs"].items()
        kept = {name: sha256 for name, sha256 in before if not name.startswith(replaced)}
        return dict(sorted((kept | dict(outputs)).items()))

    def _record(
        self, record: dict[str, Any], counts: dict[str, Any], outputs: dict[str, str]
    ) -> None:
        entry = {
            "kind": self.kind,
            "inputs": self.inputs,
            "versions": runs.versions(),
            "decoder": self.decoder,
            "counts": dict(sorted(counts.items())),
            "seconds": round(time.time() - self.started, 3),
        }
        record["outputs"] = self.together(record, outputs)
        record["schemas"] = schemas.versions_of(record["outputs"])
        record["counts"] = _added_up(self.output, record, counts)
        record["additions"] = [*record.get("additions", []), entry]
        files.write_bytes(self.path(runs.RECORD), runs.to_json(record))


class HeldSong(NamedTuple):
    """A song that a corpus holds: `artists` are keys, `listed` is the split that a list says."""

    song_id: str
    track_ids: tuple[str, ...]
    group: str
    split: str
    artists: tuple[str, ...] = ()
    listed: str | None = None

    def facts(self) -> SplitFacts:
        """The song as what decides the splits of others."""
        names = [key.partition(":")[2] for key in sorted(self.artists, reverse=True)]
        artist = Artist(names[0], self.artists) if names else None
        return SplitFacts("", self.song_id, self.song_id, self.track_ids, self.split, artist)


@dataclasses.dataclass(frozen=True)
class Held:
    """What a corpus holds before an addition; empty where there is none before."""

    kind: str = ""
    suffix: str = ""  # of the addition's tables
    songs: tuple[HeldSong, ...] = ()
    recording_ids: frozenset[str] = frozenset()
    rejects: tuple[tuple[str, str], ...] = ()  # recording id, the reject as JSON
    shards: dict[str, int] = dataclasses.field(default_factory=dict)  # how many, by split
    index: tuple[str, ...] = ()  # files of an index of before, to be written anew with the rest

    def known(self) -> list[SplitFacts]:
        """The songs, as what decides the splits of others."""
        return [song.facts() for song in self.songs]

    def wants(self, recording_id: str) -> bool:
        """Whether an addition shall try a recording."""
        if self.kind == RETRY and recording_id not in self.rejected():
            return False
        return recording_id not in self.recording_ids

    def rejected(self) -> dict[str, str]:
        """The rejects, as JSON, by recording id."""
        return dict(self.rejects)

    def frozen(self, found: dict[str, SplitGroup]) -> dict[str, SplitGroup]:
        """The groups of songs, those that are held unchanged; "" for that of a song that would join
        songs of two splits."""
        frozen_as = defaultdict(set)
        for song in self.songs:
            frozen_as[found[song.song_id].group].add((song.split, song.group))
        frozen = {}
        for song_id, its in found.items():
            held = frozen_as.get(its.group, set())
            splits = {split for split, _ in held}
            if len(splits) > 1:
                frozen[song_id] = dataclasses.replace(its, group="", split=None)
            elif held:
                group = min(group for _, group in held)
                frozen[song_id] = dataclasses.replace(its, group=group, split=min(splits))
            else:
                frozen[song_id] = its
        return frozen


def start(
    verb: str,
    output: str,
    options: dict[str, Any],
    inputs: dict[str, str],
    *,
    kind: str,
    overwrite: bool = False,
    added: Mapping[str, Any] | None = None,
    writes: Sequence[str] = (),
    decoder: str | None = None,
) -> Addition | None:
    """Claim a finished corpus for an addition; None where the same addition was the last one.

    Raises BadUsage where there is no finished corpus, or one that was cut otherwise; Failed where
    the folder cannot be written or another process works there. Nothing is removed but what
    additions left, so that `writes` counts for nothing here.
    """
    flag = f"--{kind.replace('_', '-')}"
    if overwrite:
        raise BadUsage(
            f"{flag} adds to what is there, and --overwrite removes it: take one of them"
        )
    record = runs.record(output)
    if record["verb"] != verb:
        raise BadUsage(f"--output {output}: holds a run of {record['verb']}, not of {verb}")
    if found := plans.of_options(record["options"], options, added or {}):
        raise BadUsage(f"--output {output}: the corpus was made {found}; {flag} needs the same")
    runs.check_apart(output, inputs)
    stamps = {name: runs.fingerprint(path) for name, path in inputs.items()}
    done = record.get("additions", [])
    number = len(done) + 1
    facts = {"kind": kind, "number": number, "inputs": stamps}
    pending = runs.to_json(facts | ({"decoder": decoder} if decoder else {}))
    path = files.join(output, runs.PENDING)
    try:
        runs.claim(output)
        left = kind == RETRY and any(record["counts"].get(name) for name in NOT_OPENED)
        if done and (done[-1]["kind"], done[-1]["inputs"]) == (kind, stamps) and not left:
            _clear(output)
            locks.release(output)
            return None
        if files.exists(path) and files.read_bytes(path) != pending:
            _clear(output)  # of an addition that was begun and given up for this one
        files.write_bytes(path, pending)
    except OSError as error:
        locks.release(output)
        raise Failed(f"--output {output}: cannot be written: {runs.reason(error)}") from error
    options = record["options"]
    begun = time.time()
    return Addition(verb, output, options, stamps, begun, decoder, kind=kind, number=number)


def held(run: runs.Run) -> Held:
    """What the corpus holds that a run adds to; nothing for a run that begins one."""
    if not isinstance(run, Addition):
        return Held()
    index = tables.read(run.output, "index", ["song_id", "track_ids", "split_group", "split"])
    songs: dict[str, tuple[set[str], str, str]] = {}
    for batch in index.to_batches():
        for row in batch.to_pylist():
            tracks, _, _ = songs.setdefault(
                row["song_id"], (set(), row["split_group"], row["split"])
            )
            tracks.update(row["track_ids"] or ())
    cut = tables.read(run.output, "songs", ["recording_id", "song_id", "artists", "listed"])
    artists: dict[str, set[str]] = defaultdict(set)
    listed: dict[str, str] = {}
    for row in cut.to_pylist():
        artists[row["song_id"]].update(row["artists"] or ())
        if row["listed"]:
            listed[row["song_id"]] = row["listed"]
    rejects = tables.read(run.output, "rejects").to_pylist()
    record = runs.record(run.output)
    return Held(
        run.kind,
        f"-append{run.number}",
        tuple(
            HeldSong(
                song,
                tuple(sorted(tracks)),
                group,
                split,
                tuple(sorted(artists[song])),
                listed.get(song),
            )
            for song, (tracks, group, split) in songs.items()
        ),
        frozenset(cut["recording_id"].to_pylist()),
        tuple((_recording_id(row), json.dumps(row)) for row in rejects),
        dict(Counter(_splits(record["outputs"]))),
        tuple(tables.parts(run.output, "index")) if has_old_index(record) else (),
    )


def has_old_index(record: Mapping[str, Any]) -> bool:
    """Whether a corpus' index has maps, as before version 3: others could not open it beside an
    addition's."""
    return (record.get("schemas") or {}).get("index", 1) < OF_LISTS


def _splits(names: Iterable[str]) -> list[str]:
    return [match[1] for name in names if (match := SHARD.fullmatch(name))]


def _recording_id(reject: dict[str, Any]) -> str:
    """Of the record that was rejected; a duplicate is none to try again."""
    found = (
        "" if reject["error"] == "duplicate" else json.loads(reject["record"]).get("recording_id")
    )
    return str(found or f"{reject['error']} {reject['key']}")


def _added_up(output: str, record: dict[str, Any], counts: dict[str, Any]) -> dict[str, Any]:
    """The counts of the whole corpus: sums, but for songs, of which some may have been there, and
    rejects, which are those of now."""
    totals = Counter(record["counts"])
    totals.update(counts)
    names = sorted(name for name in record["outputs"] if name.startswith("index-"))
    songs = set()
    for name in names:
        part = tables.read_part(files.join(output, name), ["song_id"])
        songs |= set(pc.unique(part["song_id"]).to_pylist())
    totals["songs"] = len(songs)
    for name in ("rejected", *(name for name in NOT_OPENED if name in totals)):
        totals[name] = counts.get(name, 0)
    for name in [name for name in totals if name.startswith(REJECTS)]:
        del totals[name]
    totals.update({name: count for name, count in counts.items() if name.startswith(REJECTS)})
    found = {k: round(v, 6) if isinstance(v, float) else v for k, v in totals.items()}
    return dict(sorted(found.items()))


def _clear(output: str) -> None:
    """Put the cards of an addition that is in the record into their places, and remove what else
    additions left that is not in it; what says so goes last."""
    known = runs.record(output)["outputs"]
    for name in NAMES:
        made = files.join(output, CARDS, name)
        if files.exists(made) and files.sha256(made) == known.get(name):
            files.write_bytes(files.join(output, name), files.read_bytes(made))
    root = files.join(output, "")
    for path in files.list_files(output):
        name = path.removeprefix(root)
        replaced = name.startswith(("rejects-", "index-"))
        if name not in known and (replaced or _LEFT_OVER.fullmatch(name)):
            files.remove(path)
    files.remove(files.join(output, runs.PARTS))
    files.remove_temporaries(output)
    files.remove(files.join(output, runs.PENDING))
