"""A corpus as Croissant 1.0 says it: every file with its SHA-256, and what its tables hold.

https://docs.mlcommons.org/croissant/docs/croissant-spec.html. Tables that lie in several files are
file sets of the folder itself, which `mlcroissant` reads. Audio in tars is no record set:
`mlcroissant` extracts an archive under the hash of its path, which is the same in every corpus.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from stemlode import schemas
from stemlode.cards.facts import Facts
from stemlode.ids import digest

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
PARQUET, TAR = "application/x-parquet", "application/x-tar"
_OWN = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject"),
    *("fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField"),
    *("path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
    *("separator", "source", "subField", "transform"),
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    **{name: f"cr:{name}" for name in _OWN},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}


def document(facts: Facts) -> dict[str, Any]:
    """The metadata, as a JSON object."""
    whole, files = facts.whole, [*facts.outputs]
    songs = sum(facts.songs.values())
    found = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": f"corpus-{digest(*facts.outputs.values())[:12]}",
        "description": f"{songs:,} songs with their sources, {whole.hours:.2f} hours, in "
        f"{whole.samples:,} chunks: a corpus for music source separation, made by Stemlode.",
        "version": f"1.{len(facts.record.get('additions', []))}.0",
        "keywords": ["music", "music source separation"],
        "license": [name for name in facts.licences if name],
        "distribution": [*map(_file, files, facts.outputs.values()), *_sets(facts)],
        "recordSet": [*_records(facts)],
    }
    return {name: value for name, value in found.items() if value != []}


def _file(path: str, sha256: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "encodingFormat": PARQUET if path.endswith(".parquet") else TAR,
        "sha256": sha256,
    }


def _sets(facts: Facts) -> Iterator[dict[str, Any]]:
    patterns = {"index": "index-*.parquet", "songs": "songs-*.parquet"}
    if facts.shard_kind == "parquet":
        patterns |= {split: f"{split}/{split}-*.parquet" for split in facts.splits}
    for name, pattern in patterns.items():
        yield {
            "@type": "cr:FileSet",
            "@id": f"{name}-files",
            "name": f"{name}-files",
            "encodingFormat": PARQUET,
            "includes": pattern,
        }


def _records(facts: Facts) -> Iterator[dict[str, Any]]:
    yield _record_set("index", "sample_id", "A row for each chunk.", schemas.INDEX)
    yield _record_set("songs", "recording_id", "A row for each recording.", schemas.SONG)
    if facts.shard_kind == "parquet":
        columns = [("sample_id", "Id of the chunk, as in the index."), ("json", "What it is.")]
        columns += [(f"{source}.flac", "As FLAC.") for source in facts.common]
        schema = pa.schema(
            [
                pa.field(
                    name,
                    pa.binary() if name.endswith(".flac") else pa.string(),
                    metadata={"description": said},
                )
                for name, said in columns
            ]
        )
        for split in facts.splits:
            said = f"The chunks of {split}, with the sources that all chunks have."
            yield _record_set(split, "sample_id", said, schema)


def _record_set(name: str, key: str, said: str, schema: pa.Schema) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": said,
        "key": {"@id": f"{name}/{key}"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{field.name}",
                "name": field.name,
                "description": field.metadata[b"description"].decode(),
                "dataType": kind,
                "source": {
                    "fileSet": {"@id": f"{name}-files"},
                    "extract": {"column": field.name},
                },
                **({"repeated": True} if pa.types.is_list(field.type) else {}),
            }
            for field in schema
            if (kind := _data_type(field.type))
        ],
    }


def _data_type(kind: pa.DataType) -> str:
    """What Croissant calls a column's type; empty for maps, which it has no word for."""
    if pa.types.is_map(kind):
        return ""
    if pa.types.is_list(kind):
        return _data_type(kind.value_type)
    if pa.types.is_binary(kind):
        return "sc:AudioObject"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
