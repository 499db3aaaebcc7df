"""What goes in and what comes out, stage by stage, recounted from the tables and checked."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.pages.inputs import Folder
from pipelines.pages.text import PLAIN
from pipelines.report.flow import Flow, FlowSegment, Stage, flow
from stemlode import schemas

TRACKS = ("tracks_read", "tracks")
EXAMPLES = 4  # of rejects for one cause
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Check:
    """Two numbers that have to be equal."""

    sentence: str
    left: int
    right: int

    @property
    def holds(self) -> bool:
        """Whether they are."""
        return self.left == self.right


@dataclass(frozen=True)
class FlowLine:
    """A line of the flow's table; `share` is of its stage's total.

    `spans` is the stage's number of lines on its first line, else 0.
    """

    stage: str
    spans: int
    label: str
    value: int
    share: float
    kind: str


@dataclass(frozen=True)
class Cause:
    """Rejects of one verb for one cause; `examples` are (key, message)."""

    stage: str
    error: str
    count: int
    examples: list[tuple[str, str]]


@dataclass
class FlowCounts:
    """Runs that read one another: scan → match → prune → corpus, each where there is one."""

    scan: Folder | None = None
    match: Folder | None = None
    prune: Folder | None = None
    corpus: Folder | None = None
    stages: list[Stage] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    tracks: int | None = None
    candidates: int | None = None
    kept: int | None = None
    samples: int | None = None
    songs: int | None = None
    hours: float | None = None

    @property
    def name(self) -> str:
        """The folders' names, in order."""
        runs = (self.scan, self.match, self.prune, self.corpus)
        return " → ".join(run.name for run in runs if run is not None)

    @property
    def flow(self) -> Flow | None:
        """The picture."""
        return flow(self.stages)

    @property
    def rows(self) -> list[FlowLine]:
        """The picture's numbers."""
        return [
            FlowLine(
                stage.title,
                0 if position else len(stage.segments),
                segment.label,
                segment.value,
                segment.value / max(1, stage.total),
                segment.kind,
            )
            for stage in self.stages
            for position, segment in enumerate(stage.segments)
        ]

    @property
    def broken(self) -> list[Check]:
        """What does not add up."""
        return [check for check in self.checks if not check.holds]


def chains(folders: Sequence[Folder]) -> list[FlowCounts]:
    """Every chain of runs, found by the fingerprints that runs record of what they read."""
    by_verb = {v: [f for f in folders if f.verb == v] for v in ("scan", "match", "prune", "corpus")}
    found: list[FlowCounts] = []
    for corpus in by_verb["corpus"]:
        found.append(FlowCounts(corpus=corpus, prune=source(corpus, "pairs", by_verb["prune"])))
    used = {chain.prune.path for chain in found if chain.prune}
    found += [FlowCounts(prune=prune) for prune in by_verb["prune"] if prune.path not in used]
    for chain in found:
        if chain.prune:
            chain.match = source(chain.prune, "candidates", by_verb["match"])
    used = {chain.match.path for chain in found if chain.match}
    found += [FlowCounts(match=match) for match in by_verb["match"] if match.path not in used]
    for chain in found:
        if chain.match:
            chain.scan = source(chain.match, "catalog", by_verb["scan"])
        add_scan(chain)
        add_match(chain)
        add_prune(chain)
        add_corpus(chain)
    return [chain for chain in found if chain.stages]


def source(folder: Folder, option: str, among: Iterable[Folder]) -> Folder | None:
    """The run that another one read under an option; None where it is not among them."""
    wanted = folder.facts("inputs").get(option)
    return next((f for f in among if wanted and f.fingerprint == wanted), None)


def tally(table: pa.Table, column: str) -> dict[str, int]:
    """How many rows have each value of a text column."""
    counted = pc.value_counts(table[column].cast(pa.string())).to_pylist()
    return {entry["values"] or "unknown": entry["counts"] for entry in counted}


def add_scan(chain: FlowCounts) -> None:
    """The files of a folder, of which a catalogue's tracks are made."""
    scan = chain.scan
    found, tracks = (scan.count(name) if scan else None for name in ("files", "tracks"))
    rejected = scan.rows("rejects") if scan else None
    if scan is None or found is None or tracks is None or rejected is None:
        return
    others = scan.count("not_audio") or 0
    segments = [
        FlowSegment("unpaired", "with a track", tracks),
        FlowSegment("other", "other endings", others, goes_on=False),
        FlowSegment("rejected", "rejected", rejected, goes_on=False),
    ]
    chain.stages.append(Stage("files", _present(segments)))
    sentence = "files found by scan = tracks, other endings and rejects"
    _check(chain, sentence, found, tracks + others + rejected)
    if chain.match is not None:
        read = chain.match.count("tracks_read")
        _check(chain, "tracks of scan = tracks read by match", tracks, read)


def add_match(chain: FlowCounts) -> None:
    """The catalogue's tracks, and the pairs that match proposes."""
    match = chain.match
    if match is None:
        return
    rows = match.rows("candidates")
    stated = match.count("candidates")
    chain.candidates = rows if rows is not None else stated
    _check(chain, "candidates counted by match = rows in its table", stated, rows)
    kinds = [match.count(n) for n in ("rejected", "empty_keys", "instrumentals", "mixtures")]
    if None not in kinds:
        sentence = "tracks read = rejected, without a key, instrumentals and mixtures"
        _check(chain, sentence, match.count("tracks_read"), sum(n or 0 for n in kinds))
    chain.tracks = next((n for n in map(match.count, TRACKS) if n is not None), None)
    if chain.tracks is None:
        return
    rejected = match.rows("rejects") or 0
    segments = []
    ids = match.table("candidates", ["mix_track_id", "instrumental_track_id"])
    if ids is not None:
        paired = _distinct(ids)
        alone = chain.tracks - paired - rejected
        keyless = min(match.count("empty_keys") or 0, max(0, alone))
        segments = [
            FlowSegment("paired", "in a pair", paired),
            FlowSegment("unpaired", "no partner", alone - keyless, goes_on=False),
            FlowSegment("other", "no title to match", keyless, goes_on=False),
            FlowSegment("rejected", "rejected", rejected, goes_on=False),
        ]
    if any(s.value < 0 for s in segments):
        _check(chain, "tracks read ≥ tracks paired and rejected", chain.tracks, paired + rejected)
        segments = []
    whole_stage = [FlowSegment("unpaired", "read", chain.tracks)]
    chain.stages.append(Stage("tracks", _present(segments) or whole_stage))


def add_prune(chain: FlowCounts) -> None:
    """Candidates and what their sound decided."""
    prune = chain.prune
    decisions = decided(prune)
    scored = sum(decisions.values()) if decisions is not None else None
    if chain.candidates is None and scored is not None:
        chain.candidates = scored
    if chain.candidates is not None:
        pairs = [FlowSegment("paired", "proposed by title", chain.candidates)]
        chain.stages.append(Stage("candidate pairs", pairs))
    if prune is None or decisions is None or scored is None:
        return
    chain.kept = decisions.get("kept", 0)
    chain.stages.append(
        Stage(
            "decisions by sound",
            [
                FlowSegment(known(d), PLAIN.get(d, d[:60]), n, goes_on=d == "kept")
                for d, n in by_size(decisions)
            ],
        )
    )
    if chain.match:
        _check(chain, "candidates = scored pairs", chain.candidates, scored)
    _check(chain, "candidates read by prune = scored pairs", prune.count("candidates"), scored)
    rejected = prune.rows("rejects")
    _check(chain, "rejects counted by prune = in table", prune.count("rejected"), rejected)
    for decision, number in decisions.items():
        stated = prune.count(decision)
        _check(
            chain, f"pairs {PLAIN.get(decision, decision)[:40]}: counted = in table", stated, number
        )


def by_size(decisions: dict[str, int]) -> list[tuple[str, int]]:
    """Decisions, `kept` first and then the most frequent."""
    return sorted(decisions.items(), key=lambda item: (item[0] != "kept", -item[1], item[0]))


def known(decision: str) -> str:
    """A decision that the page has a colour for; `other` for what is none of ours."""
    return decision if decision in schemas.DECISIONS else "other"


def decided(prune: Folder | None) -> dict[str, int] | None:
    """Scored pairs by decision, from the table; None without one."""
    table = prune.table("pairs", ["decision"]) if prune else None
    return tally(table, "decision") if table is not None else None


def add_corpus(chain: FlowCounts) -> None:
    """Recordings, and samples by split."""
    corpus = chain.corpus
    if corpus is None:
        return
    index = corpus.table("index", ["split", "duration_s", "song_id"])
    if index is None:
        return
    splits = tally(index, "split")
    chain.samples = index.num_rows
    chain.songs = len(pc.unique(index["song_id"]))
    chain.hours = (pc.sum(index["duration_s"]).as_py() or 0.0) / 3600
    order = (*SPLITS, *sorted(set(splits) - set(SPLITS)))
    pairs, multitracks = corpus.count("pairs") or 0, corpus.count("multitracks") or 0
    unpaired = corpus.count("unpaired") or 0
    recordings, rejected = corpus.count("recordings"), corpus.rows("rejects")
    if multitracks or unpaired:
        segments = [
            FlowSegment("paired", "from pairs", pairs),
            FlowSegment("multitrack", "multitrack", multitracks, arrives=False),
            FlowSegment("multitrack", "unpaired", unpaired, arrives=False),
        ]
        chain.stages.append(Stage("recordings read", _present(segments)))
    if recordings is not None and rejected:
        segments = [
            FlowSegment("paired", "in the corpus", recordings),
            FlowSegment("rejected", "rejected", rejected, goes_on=False),
        ]
        chain.stages.append(Stage("recordings", _present(segments)))
    chain.stages.append(
        Stage(
            "samples",
            _present(
                [
                    FlowSegment(s if s in SPLITS else "other", s[:60], splits.get(s, 0))
                    for s in order
                ]
            ),
        )
    )
    _check(chain, "kept pairs = pairs read by corpus", chain.kept, corpus.count("pairs"))
    if recordings is not None and rejected is not None:
        sentence = "pairs and songs read by corpus = recordings written + rejects"
        _check(chain, sentence, pairs + multitracks + unpaired, recordings + rejected)
    _check(
        chain, "samples counted by corpus = rows of index", corpus.count("samples"), chain.samples
    )
    for split, number in splits.items():
        sentence = f"samples in {split[:40]}: counted by corpus = in index"
        _check(chain, sentence, corpus.count(f"samples_{split}"), number)


# verb → what its records are, the counts of those it took in where it says so, and that of those
# that came out; what came out and what did not is all that went in otherwise
_READ = {
    "scan": ("files of audio", (), "tracks"),
    "corpus": ("recordings", ("pairs", "multitracks", "unpaired"), "recordings"),
    "evaluate": ("songs", (), "songs"),
    "separate": ("songs", ("inputs",), "separated"),
    "pitch": ("songs", ("inputs",), "heard"),
}


@dataclass(frozen=True)
class RunCounts:
    """What a run read, rejected, dropped for other reasons that it counts, and passed on."""

    name: str
    records: str
    read: int
    rejected: int
    passed: int

    @property
    def dropped(self) -> int:
        """Neither rejected nor passed on: each has its decision or its count in the run."""
        return self.read - self.rejected - self.passed


def read_and_rejected(folders: Sequence[Folder]) -> list[RunCounts]:
    """Of each run that says so; what does not add up is left to the cross-checks."""
    found = (_counted(folder) for folder in folders)
    return [one for one in found if one is not None and one.dropped >= 0]


def _counted(folder: Folder) -> RunCounts | None:
    if folder.verb == "prune":  # its rejects are of tracks, which several pairs may use
        pairs = decided(folder) or {}
        unread, kept = pairs.get("unreadable", 0), pairs.get("kept", 0)
        return RunCounts(folder.name, "pairs", sum(pairs.values()), unread, kept)
    rejected = folder.rows("rejects")
    if rejected is None:
        rejected = max(folder.count("rejected") or 0, len(folder.facts("rejects")))
    if folder.verb == "match":
        table = folder.table("candidates", ["mix_track_id", "instrumental_track_id"])
        read = next((n for n in map(folder.count, TRACKS) if n is not None), -1)
        paired = 0 if table is None else _distinct(table)
        return RunCounts(folder.name, "tracks", read, rejected, paired)
    records, came, out = _READ.get(folder.verb, ("", (), ""))
    passed = folder.count(out)
    if passed is None:
        return None
    known = [count for count in map(folder.count, came) if count is not None]
    read = sum(known) if known else passed + rejected
    return RunCounts(folder.name, records, read, rejected, passed)


def _distinct(table: pa.Table) -> int:
    """How many different values some columns hold together."""
    both = pa.chunked_array([c for name in table.column_names for c in table[name].chunks])
    return len(pc.unique(both)) if len(both) else 0


def rejects(folders: Sequence[Folder]) -> list[Cause]:
    """Rejects of all runs by verb and cause, the most frequent first, with a few of each."""
    found = [cause for folder in folders for cause in (*_tabled(folder), *_recorded(folder))]
    return sorted(found, key=lambda c: (-c.count, c.stage, c.error, c.examples))


def _tabled(folder: Folder) -> list[Cause]:
    """The rejects of a Beam verb: a table."""
    table = folder.table("rejects", ["stage", "key", "error", "message"])
    if table is None:
        return []
    counted = Counter(zip(table["stage"].to_pylist(), table["error"].to_pylist(), strict=True))
    found = []
    for (stage, error), number in counted.items():
        rows = table.filter((pc.field("stage") == stage) & (pc.field("error") == error))
        rows = rows.sort_by([("key", "ascending"), ("message", "ascending")]).slice(0, EXAMPLES)
        shown = [(row["key"], row["message"]) for row in rows.to_pylist()]
        found.append(Cause(stage, error, number, shown))
    return found


def _recorded(folder: Folder) -> list[Cause]:
    """The rejects of a training verb: an object of the record, key → reason."""
    held = folder.facts("rejects")
    shown = [(key, str(reason)) for key, reason in sorted(held.items())[:EXAMPLES]]
    number = max(folder.count("rejects") or 0, len(held))
    return [Cause(folder.verb, "unusable", number, shown)] if held else []


def _check(chain: FlowCounts, sentence: str, left: int | None, right: int | None) -> None:
    """Only what both sides know can be checked."""
    if left is not None and right is not None:
        chain.checks.append(Check(sentence, left, right))


def _present(segments: Sequence[FlowSegment]) -> list[FlowSegment]:
    return [segment for segment in segments if segment.value > 0]
