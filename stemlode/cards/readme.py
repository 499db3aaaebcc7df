"""A corpus' card: the README.md that a hub shows, with the front matter that `datasets` reads.

It says nothing of the machine or the day, so that the same corpus has the same card.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stemlode.cards.facts import Amount, Facts
from stemlode.cards.markdown import plain, table
from stemlode.runs import on_one_line

UNSTATED = "not stated"
BYTES, AUDIO, INDEX, SONGS = "bytes", "audio", "index", "songs"  # what `datasets` can be asked for
_KINDS = {
    "pair": "an original and its instrumental; vocals where their difference was proven",
    "stems": "a song with its stems, as its makers mixed it",
    "unpaired": "a voice or an instrumental alone",
    "pseudo": "labelled by a teacher",
    "clean_target": "a voice alone, as a teacher hears it",
    "clean_residual": "no voice at all, as a teacher hears it",
}
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
_HUB_LICENCE = re.compile(
    r"cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-(2\.0|2\.5|3\.0|4\.0)|apache-2\.0|mit|odc-by|odbl"
)


def text(facts: Facts) -> str:
    """The card in Markdown."""
    whole = facts.whole
    songs = sum(facts.songs.values())
    return "\n\n".join(
        [
            _front(facts),
            "# Songs with their sources",
            f"{songs:,} songs, {_hours(whole)} hours, in {whole.samples:,} chunks. A corpus for "
            f"music source separation, made by Stemlode {', '.join(map(plain, facts.stemlode))}.",
            "## Splits",
            table(
                ("split", "songs", "chunks", "hours"),
                (
                    (split, f"{facts.songs[split]:,}", *_shown(amount))
                    for split, amount in facts.splits.items()
                ),
            ),
            "## Sources",
            "All sources of a chunk are as long as it is, and in time with each other.",
            _amounts("source", facts.sources),
            "## Kinds of songs",
            table(
                ("kind", "what it is", "chunks", "hours"),
                ((kind, _KINDS.get(kind, ""), *_shown(n)) for kind, n in facts.kinds.items()),
            ),
            "## Sound",
            table(
                ("sample rate", "channels", "chunks", "hours"),
                (
                    (f"{rate:,} Hz", str(channels), *_shown(n))
                    for (rate, channels), n in facts.shapes.items()
                ),
            ),
            "## Licences",
            "As the catalogue, or the songs' folders, state them; `licence` says it of each chunk.",
            _amounts("licence", {name or UNSTATED: n for name, n in facts.licences.items()}),
            "## How to read it",
            *_reading(facts),
            "## How it was made",
            *_making(facts.record),
        ]
    )


def _front(facts: Facts) -> str:
    size = next((name for most, name in _SIZES if facts.whole.samples < most), "n>1M")
    lines = [*_licence(facts.licences)]
    lines += ["task_categories:", "- audio-to-audio", "tags:"]
    lines += [f"- {tag}" for tag in ("music", "music-source-separation", "stemlode")]
    lines += ["size_categories:", f"- {size}", *_configs(facts), *_features(facts)]
    lines += [f"stemlode: {_yaml(_numbers(facts))}"]
    return "\n".join(["---", *lines, "---"])


def _numbers(facts: Facts) -> dict[str, Any]:
    """What the card says in words, for programs."""

    def listed(name: str, amounts: Mapping[str, Amount]) -> list[dict[str, Any]]:
        return [
            {name: on_one_line(key), "chunks": n.samples, "hours": round(n.hours, 6)}
            for key, n in amounts.items()
        ]

    return {
        "made_by": facts.record["verb"],
        "versions": facts.stemlode,
        "songs": sum(facts.songs.values()),
        "hours": round(facts.whole.hours, 6),
        "splits": listed("split", facts.splits),
        "sources": listed("source", facts.sources),
        "kinds": listed("kind", facts.kinds),
        "licences": listed("licence", facts.licences),
    }


def _yaml(value: Any) -> str:
    """A value as JSON, which YAML takes too if no name in it is long and all of it is printable."""
    return json.dumps(value, ensure_ascii=False)


def _licence(licences: Mapping[str, Amount]) -> Iterator[str]:
    """What the hub calls the only licence, if it knows it; nothing where one is not stated."""
    if licences and "" not in licences:
        (first, *others) = ("-".join(name.lower().split()) for name in licences)
        is_known = not others and _HUB_LICENCE.fullmatch(first)
        yield f"license: {first if is_known else 'other'}"


def _configs(facts: Facts) -> Iterator[str]:
    """What `load_dataset` may be asked for. It opens files of one kind in a folder: those that its
    first configuration names."""
    yield "configs:"
    for name in (BYTES, AUDIO):
        yield f"- config_name: {name}"
        if name == BYTES:
            yield "  default: true"
        yield "  data_files:"
        for split in facts.splits:
            yield f"  - split: {split}"
            yield f"    path: {split}/{split}-*.{facts.shard_kind}"
    if facts.shard_kind == "parquet":
        for name in (INDEX, SONGS):
            yield f"- config_name: {name}"
            yield f"  data_files: {name}-*.parquet"


def _features(facts: Facts) -> Iterator[str]:
    """What the columns of the shards are. Left to guess from its first samples, `datasets` would
    refuse a corpus whose samples differ in their sources."""
    key = "__key__" if facts.shard_kind == "tar" else "sample_id"
    yield "dataset_info:"
    for config, kind in ((BYTES, "binary"), (AUDIO, "audio")):
        yield f"- config_name: {config}"
        yield "  features:"
        columns = {key: "string", "json": "json"} | {f"{s}.flac": kind for s in facts.sources}
        for name, dtype in columns.items():
            yield f"  - name: {_yaml(on_one_line(name))}"
            yield f"    dtype: {dtype}"


def _reading(facts: Facts) -> Iterator[str]:
    source = "mixture" if "mixture" in facts.sources else next(iter(facts.sources), "mixture")
    split = next(iter(facts.splits), "train")
    where = "webdataset" if facts.shard_kind == "tar" else "parquet"
    yield (
        "A chunk is a FLAC file for each source, and `json`, which says what it is. The true "
        "samples are the decoded ones times `scale`, a power of two that keeps all sources of a "
        "chunk within full scale. With Hugging Face `datasets` 5 or later:"
    )
    index = "index-*.parquet"
    yield "\n".join(
        [
            "```python",
            "import io",
            "",
            "import datasets",
            "import soundfile",
            "",
            f'chunks = datasets.load_dataset("FOLDER", split="{split}", streaming=True)',
            "for chunk in chunks:",
            f'    data = chunk["{source}.flac"]  # None where a chunk lacks the source',
            "    samples, rate = soundfile.read(io.BytesIO(data))",
            '    samples *= chunk["json"]["scale"]',
            "```",
        ]
    )
    yield (
        f'`load_dataset("FOLDER", "{AUDIO}")` decodes by itself, if torchcodec is installed. '
        f"`datasets` reads the shards as `{where}`; `index-*.parquet` has a row for each chunk, "
        "with all that `json` says and where its files lie, `songs-*.parquet` one for each song:"
    )
    yield f'```python\ndatasets.load_dataset("parquet", data_files="FOLDER/{index}")\n```'
    yield (
        "`croissant.json` says the same to what reads Croissant, with the SHA-256 of every file. "
        "`stemlode verify FOLDER` compares them all; `stemlode export-stems` writes its songs as "
        "folders for other trainers, `stemlode export-manifest` what lhotse reads."
    )


def _making(record: Mapping[str, Any]) -> Iterator[str]:
    verb = plain(str(record["verb"]))
    inputs = ", ".join(f"`--{name}`" for name in sorted(record["inputs"]))
    further = record.get("additions", [])
    times = "once" if len(further) == 1 else f"{len(further)} times"
    more = f", and added to {times}" if further else ""
    yield f"By `stemlode {verb}` of {inputs or 'nothing'}{more}. Audio was decoded by " + (
        f"{plain(str(record.get('decoder') or 'what is not recorded'))}. Its options:"
    )
    options = record["options"].items()
    yield table(("option", "value"), ((str(k), _value(v)) for k, v in sorted(options)))


def _value(value: Any) -> str:
    """An option; of a path no more than its name."""
    said = value if isinstance(value, str) else json.dumps(value)
    return re.split(r"[/\\]", said.rstrip("/\\"))[-1]


def _amounts(name: str, amounts: Mapping[str, Amount]) -> str:
    return table((name, "chunks", "hours"), ((key, *_shown(n)) for key, n in amounts.items()))


def _shown(amount: Amount) -> Iterable[str]:
    return f"{amount.samples:,}", _hours(amount)


def _hours(amount: Amount) -> str:
    return f"{amount.hours:,.3g}" if amount.hours < 1 else f"{amount.hours:,.1f}"
