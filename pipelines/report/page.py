"""`stemlode report RUN… --output page.html`: run folders → one HTML page that stands alone.

The page needs no network and no other file: charts are inline SVG, pictures and sound are data
URIs, and its content security policy forbids everything else. Same runs, same bytes. No Beam.
"""

import base64
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipelines.pages import inputs, masks, media, pairs, text
from pipelines.pages.inputs import Folder, real
from pipelines.pages.media import Clip
from pipelines.report import boosting, compare, counts, listing, names, salience, spread, training
from pipelines.report.corpus import statistics
from pipelines.report.counts import FlowCounts
from pipelines.report.evaluation import melody, scores, spectra
from pipelines.report.listing import PairListing
from pipelines.report.names import Names
from pipelines.report.titles import titles
from pipelines.report.training import ShownSong
from stemlode.audio import AudioError
from stemlode.schemas.pairs import REPAIRS
from stemlode.theme.document import THEME

TEMPLATES = Path(__file__).with_name("templates")
MEDIA_BYTES = 6_500_000  # of data URIs; the rest of a page is small
PLAYERS, TRIPLE_BYTES = 12, 400_000  # pairs with players, and what one more may take
SEPARATED_SONGS = 3  # with players
LISTED_SONGS, LISTED_OUTPUTS = 20, 40
GENERATOR = "stemlode report"


class _Budget:
    """How many bytes of pictures and sound may still go into the page."""

    def __init__(self, left: int) -> None:
        self.left, self.exceeded = left, False

    def take(self, clips: list[Clip]) -> bool:
        """Whether there is room for all of these; if so, they are counted."""
        size = sum(len(clip.player) + len(clip.picture) for clip in clips)
        if size > self.left:
            self.exceeded = True
            return False
        self.left -= size
        return True


def page(
    folders: Sequence[Folder],
    unfinished: Sequence[str] = (),
    players: int = PLAYERS,
    others: Sequence[Folder] = (),
) -> str:
    """The whole page for some finished runs, as HTML.

    `players` is how many pairs have them; each of `others` is put beside the run of its verb.
    """
    budget = _Budget(MEDIA_BYTES + max(0, players - PLAYERS) * TRIPLE_BYTES)
    named = Names([*folders, *others])
    chains = counts.chains(folders)
    evaluations = _evaluations(_of(folders, "evaluate"), named)
    separated, untold = _separated(_of(folders, "separate"), budget)
    triples = _triples(_of(folders, "prune"), budget, players)
    causes = [
        replace(cause, examples=[(named(key), message) for key, message in cause.examples])
        for cause in counts.rejects(folders)
    ]
    context: dict[str, Any] = {
        "chains": chains,
        "runs": counts.read_and_rejected(folders),
        "comparisons": compare.comparisons(others, folders, named),
        "root": names.root([*folders, *others]),
        "finished": names.finished(folders),
        "command": _command(folders, others),
        "named": named,
        "matches": _matches(_of(folders, "match")),
        "prunes": _prunes(_of(folders, "prune"), {t["pair"].pair_id: t["id"] for t in triples}),
        "triples": triples,
        "causes": causes,
        "rejected": sum(cause.count for cause in causes),
        "corpora": _corpora([*_of(folders, "corpus"), *_of(folders, "pseudolabel")]),
        "saliences": _saliences(folders, budget),
        "trainings": _trainings([*_of(folders, "train"), *_of(folders, "finetune")], named, budget),
        "evaluations": evaluations,
        "melodies": _melodies(_of(folders, "evaluate")),
        "pictures": [
            (song, clips)
            for song, clips in melody.pictures(_of(folders, "pitch")).items()
            if budget.take(clips)
        ],
        "separated": separated,
        "separated_untold": untold,
        "provenance": [_provenance(folder) for folder in folders],
        "unfinished": unfinished,
        "trimmed": budget.exceeded,
        "headline": _headline(folders, chains),
        "steps": _steps(chains, evaluations),
        "warnings": [
            f"{check.sentence}: {check.left:,} and {check.right:,}."
            for chain in chains
            for check in chain.broken
        ],
        "highest_hz": media.HIGHEST_HZ,
        "excerpt_s": media.EXCERPT_S,
        "separated_s": media.SEPARATED_S,
    }
    return _render(context)


def _command(folders: Sequence[Folder], others: Sequence[Folder]) -> str:
    """What makes this page, seen from the folder that holds the runs."""
    root = names.root([*folders, *others])
    words = [names.below(folder.path, root) for folder in folders]
    for other in others:
        words += ["--compare", names.below(other.path, root)]
    return shlex.join(["stemlode", "report", *words, "--output", "report.html"])


def _of(folders: Sequence[Folder], verb: str) -> list[Folder]:
    return [folder for folder in folders if folder.verb == verb]


def _named(folders: Sequence[Folder], position: int) -> dict[str, str]:
    """The section id of a run and, where a verb ran more than once, a suffix for its title."""
    folder = folders[position]
    suffix = f" · {folder.name}" if len(folders) > 1 else ""
    number = f"-{position + 1}" if position else ""
    return {"id": f"{folder.verb}{number}", "suffix": suffix}


def _headline(folders: Sequence[Folder], chains: Sequence[FlowCounts]) -> str:
    main = chains[0] if chains else None
    if main and main.kept is not None and main.tracks is not None:
        return f"{main.tracks:,} tracks hold {main.kept:,} verified pairs"
    if main and main.kept is not None:
        return f"{main.kept:,} of {main.candidates:,} candidate pairs are verified"
    if main and main.candidates is not None:
        return f"{main.candidates:,} candidate pairs"
    if main and main.samples is not None:
        return f"{main.samples:,} samples"
    verbs = list(dict.fromkeys(folder.verb for folder in folders))
    return "What came of " + ", ".join(verbs)


def _steps(chains: Sequence[FlowCounts], evaluations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The headline's numbers: of the first chain, and of the first evaluation's vocals."""
    steps = []
    if chains:
        main = chains[0]
        numbers = (
            (main.tracks, "tracks read", 0),
            (main.candidates, "candidate pairs", 0),
            (main.kept, "kept by their sound", 0),
            (main.hours, "hours of samples", 1),
        )
        if main.hours is not None and main.hours < 1:
            numbers = (*numbers[:-1], (main.hours * 60, "minutes of samples", 1))
        steps += [
            {"value": text.decimals(value, places), "label": label, "gain": False}
            for value, label, places in numbers
            if value is not None
        ]
    for score in _first_scores(evaluations):
        of = f" of the {score.source}" if score.source else ""
        means = dict(zip(score.names, score.means, strict=True))
        for name, label in (("mixture", f"uSDR{of}, mixture as it is"), ("estimate", "separated")):
            if means.get(name) is not None:
                value = f"{text.decimals(means[name], 1)} dB"
                steps.append({"value": value, "label": label, "gain": name == "estimate"})
    return steps


def _first_scores(evaluations: list[dict[str, Any]]) -> list[training.SourceScores]:
    return evaluations[0]["parts"][:1] if evaluations else []


def _matches(matches: Sequence[Folder]) -> list[dict[str, Any]]:
    found = [(_named(matches, i), titles(run)) for i, run in enumerate(matches)]
    return [{**named, **vars(held)} for named, held in found if not held.is_empty]


def _prunes(prunes: Sequence[Folder], players: Mapping[str, str]) -> list[dict[str, Any]]:
    found = []
    for position, prune in enumerate(prunes):
        decisions = counts.decided(prune)
        if not decisions:
            continue
        histogram, unscored = pairs.distribution(prune)
        worst, best = pairs.closest_calls(prune)
        ordered = counts.by_size(decisions)
        outcomes, untold = spread.outcomes(prune, [name for name, _ in ordered])
        found.append(
            {
                **_named(prunes, position),
                "histogram": histogram,
                "drawn": {box.kind for box in histogram.boxes} if histogram else set(),
                "unscored": unscored,
                "decisions": ordered,
                "total": sum(decisions.values()),
                "mended": _mended(prune),
                "outcomes": outcomes,
                "outcomes_untold": untold,
                "spreads": spread.spreads(prune, pairs.STACK),
                "worst": worst,
                "best": best,
                "listed": PairListing(*pairs.nearest(prune, listing.MOST), players),
            }
        )
    return found


def _mended(prune: Folder) -> list[tuple[str, int, float]]:
    """What was mended of pairs that are used, with their number and hours, by the record."""
    hours = {name: real(prune.facts("counts").get(f"hours_repaired_{name}")) for name in REPAIRS}
    found = ((name, prune.count(f"repaired_{name}"), hours[name]) for name in REPAIRS)
    return [(name, count, length or 0.0) for name, count, length in found if count]


def _triples(prunes: Sequence[Folder], budget: _Budget, most: int) -> list[dict[str, Any]]:
    """Pairs with their pictures and players: of each wanted kind the first that can be read, then
    those nearest to a threshold, until there are so many."""
    found: list[dict[str, Any]] = []
    heard: set[str] = set()

    def take(pair: pairs.ShownPair) -> bool:
        if len(found) >= most or pair.pair_id in heard:
            return False
        clips = _triple(pair)
        if clips and budget.take(clips):
            heard.add(pair.pair_id)
            found.append({"pair": pair, "clips": clips, "id": f"pair-{len(found) + 1}"})
        return bool(clips)

    for prune in prunes:
        for choices in pairs.examples(prune):
            any(take(pair) for pair in choices)
    for prune in prunes:
        tried = 0
        for pair in pairs.nearest(prune, 4 * most)[0]:
            if len(found) >= most or budget.exceeded or tried >= 2 * most:
                break
            tried += pair.pair_id not in heard
            take(pair)
    return found


def _triple(pair: pairs.ShownPair) -> list[Clip]:
    """The clips of a pair; none where its audio is out of reach by now."""
    try:
        return media.triple(
            pair.mix_uri or "",
            pair.instrumental_uri or "",
            offset_s=pair.offset_s,
            gain_db=pair.gain_db,
            polarity=pair.polarity,
            duration_s=pair.duration_s,
            clock=pair.clock,
        )
    except (AudioError, OSError):
        return []


def _corpora(corpora: Sequence[Folder]) -> list[dict[str, Any]]:
    found = []
    for position, corpus in enumerate(corpora):
        chain = FlowCounts(corpus=corpus)
        counts.add_corpus(chain)
        if chain.samples is None:
            continue
        numbers = {"samples": chain.samples, "songs": chain.songs, "hours": chain.hours}
        held = statistics(corpus)
        found.append({**_named(corpora, position), **numbers, "held": held})
    return found


def _saliences(folders: Sequence[Folder], budget: _Budget) -> list[dict[str, Any]]:
    runs = _of(folders, "salience")
    corpora = [*_of(folders, "corpus"), *_of(folders, "pseudolabel")]
    found = []
    for position, folder in enumerate(runs):
        held = salience.heard(folder, corpora)
        if held is not None:
            patches = [patch for patch in held.patches if budget.take(patch.clips)]
            found.append({**_named(runs, position), "held": held, "patches": patches})
    return found


def _trainings(trainings: Sequence[Folder], named: Names, budget: _Budget) -> list[dict[str, Any]]:
    return [
        {
            **_named(trainings, position),
            **vars(training.training(folder)),
            "boosting": boosting.boosting(folder),
            "previews": _previews(folder, named, budget),
        }
        for position, folder in enumerate(trainings)
    ]


def _previews(folder: Folder, named: Names, budget: _Budget) -> list[dict[str, Any]]:
    """What can be heard of a training's best net."""
    found = []
    for song in training.previews(folder, named):
        try:
            clips = media.separated(list(song.files.items()))
            if {"mixture", "estimate"} <= {*song.files}:
                heard, given = song.files["mixture"], song.files["estimate"]
                clips += masks.pictures(heard, given, *training.transform(folder))
        except (AudioError, OSError):
            continue
        if budget.take(clips):
            found.append({"name": song.name, "clips": clips})
    return found


def _evaluations(evaluations: Sequence[Folder], named: Names) -> list[dict[str, Any]]:
    found = []
    for position, folder in enumerate(evaluations):
        parts = training.evaluation(folder, named)
        if parts:
            summary = (
                "uSDR is 10 log10(Σ reference² / Σ error²) over a whole song: higher is better, "
                "and 0 dB is an estimate as wrong as silence."
            )
            entry = {**_named(evaluations, position), "parts": parts, "summary": summary}
            held = {"spreads": scores.spreads(folder, named), "spectra": spectra.spectra(folder)}
            found.append(entry | held)
    return found


def _melodies(evaluations: Sequence[Folder]) -> list[dict[str, Any]]:
    return [
        {**_named(evaluations, position), "held": held}
        for position, folder in enumerate(evaluations)
        if (held := melody.melodies(folder)) is not None
    ]


def _separated(runs: Sequence[Folder], budget: _Budget) -> tuple[list[dict[str, Any]], int]:
    """Separated songs with players for the first few, and how many are not even listed."""
    every = [(folder, song) for folder in runs for song in training.songs(folder)]
    found = []
    for position, (folder, song) in enumerate(every[:LISTED_SONGS]):
        clips, note = [], ""
        if position < SEPARATED_SONGS:
            try:
                clips = media.separated(_to_compare(folder, song))
            except (AudioError, OSError) as error:
                note = f"No players: {error}."
            if clips and not budget.take(clips):
                clips, note = [], "No players: the page would grow too large."
        else:
            note = f"No players: only the first {SEPARATED_SONGS} songs have them."
        paths = [song.files[label] for label in sorted(song.files)]
        name = training.title_of(folder, song)
        found.append({"name": name, "clips": clips, "note": note, "paths": paths})
    return found, max(0, len(every) - LISTED_SONGS)


def _to_compare(folder: Folder, song: ShownSong) -> list[tuple[str, str]]:
    """(label, path), the mixture first."""
    order = training.MIXTURE_FIRST
    labels = sorted(song.files, key=lambda n: (order.index(n) if n in order else len(order), n))
    paths = {label: song.files[label] for label in labels}
    mixture = training.mixture_of(folder, song)
    if mixture and "mixture" not in paths:
        paths = {"mixture": mixture, **paths}
    return list(paths.items())


def _provenance(folder: Folder) -> dict[str, Any]:
    def lines(entry: str) -> list[tuple[str, str]]:
        facts = folder.facts(entry)
        return [(name, training.text(facts[name])) for name in sorted(facts)]

    outputs = lines("outputs")
    return {
        "verb": folder.verb,
        "path": folder.path,
        "seconds": inputs.real(folder.record.get("seconds")),
        "counts": sorted(folder.facts("counts").items()),
        "options": lines("options"),
        "inputs": lines("inputs"),
        "versions": lines("versions"),
        "outputs": outputs[:LISTED_OUTPUTS],
        "outputs_untold": max(0, len(outputs) - LISTED_OUTPUTS),
    }


def _render(context: dict[str, Any]) -> str:
    """The page's HTML. Every expression is made visible, then escaped; nothing is marked safe but
    our own style and script, which the policy names by their hashes.
    """
    theme, style, script = (
        path.read_text(encoding="utf-8")
        for path in (THEME, TEMPLATES / "style.css", TEMPLATES / "script.js")
    )
    style = theme + style
    policy = (
        "default-src 'none'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_source(style)}'; script-src '{_source(script)}'"
    )
    root = context["root"].rstrip("/")

    def shown(value: Any) -> Any:
        """Paths as seen from the folder that holds the runs."""
        if isinstance(value, Markup) or not isinstance(value, str):
            return value
        told = value.replace(f"{root}/", "") if root and not value.startswith("data:") else value
        return text.visible(told)

    environment = text.environment(TEMPLATES)
    environment.finalize = shown
    return environment.get_template("page.html").render(
        context,
        sections=_sections(context),
        title=names.base(root) or root,
        style=Markup(style),
        script=Markup(script),
        policy=policy,
        generator=GENERATOR,
    )


def _sections(context: dict[str, Any]) -> list[tuple[str, str]]:
    """(id, name) of the sections that the page has."""

    def each(key: str, name: str) -> list[tuple[str, str]]:
        return [(entry["id"], name + entry["suffix"]) for entry in context[key]]

    return [
        *([("flow", "Flow")] if context["chains"] else []),
        *([("runs", "Runs")] if context["runs"] else []),
        *([("compare", "Comparison")] if context["comparisons"] else []),
        *each("matches", "Titles"),
        *each("prunes", "Sound"),
        *([("pairs", "Pairs")] if context["triples"] else []),
        *([("rejects", "Rejects")] if context["causes"] else []),
        *each("corpora", "Corpus"),
        *each("trainings", "Training"),
        *each("evaluations", "Scores"),
        *each("melodies", "Pitch"),
        *([("pictures", "Salience")] if context["pictures"] else []),
        *([("separated", "Separated audio")] if context["separated"] else []),
        ("provenance", "Provenance"),
    ]


def _source(content: str) -> str:
    """How a content security policy names an inline style or script."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
