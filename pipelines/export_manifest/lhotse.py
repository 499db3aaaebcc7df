"""A row of the index as lhotse says it: a recording for each source, and a cut of them.

Nothing is copied. lhotse (1.33) opens `SHARD.tar/FILE` as a file in the archive. A piece of a
Parquet shard it has no word for, but it takes what a command prints.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from stemlode.runs import Failed
from stemlode.shards import members
from stemlode.shards.tar import SHARD
from stemlode.tables import Row

MIXTURE = "mixture"
IN_ARCHIVE = (".tar/", ".tar.gz/", ".tar.bz2/", ".tar.xz/")  # lhotse takes what is before for a tar
FACTS = ["song_id", "split", "kind", "sources", "start_s", "licence", "genre", "release_year"]
FACTS += ["augmentation", "teacher_sha256", "confidence"]


def recordings(folder: str, row: Row) -> dict[str, dict[str, Any]]:
    """lhotse's `Recording` of each source, by its name. Failed where the index does not say where
    it lies."""
    channels = [*range(row["channels"])]
    frames = round(row["duration_s"] * row["sample_rate"])
    found = {}
    for source in row["sources"]:
        found[source] = {
            "id": f"{row['sample_id']}-{source}",
            "sources": [{"channels": channels, **_place(folder, row, f"{source}.flac")}],
            "sampling_rate": row["sample_rate"],
            "num_samples": frames,
            "duration": frames / row["sample_rate"],
            "channel_ids": channels,
        }
        if row["scale"] != 1.0:
            louder = {"name": "Volume", "kwargs": {"factor": row["scale"]}}
            found[source]["transforms"] = [louder]
    return found


def cut(row: Row, held: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """lhotse's `Cut` of a sample: of its mixture, or, where there is none, of its first source.

    All its sources are fields of it: `cut.load_vocals()`.
    """
    main = held[MIXTURE if MIXTURE in held else min(held)]
    is_mono = row["channels"] == 1
    facts = {name: row[name] for name in FACTS if row[name] is not None}
    return {
        "id": row["sample_id"],
        "start": 0.0,
        "duration": main["duration"],
        "channel": 0 if is_mono else main["channel_ids"],
        "supervisions": [],
        "recording": main,
        "custom": facts | dict(held),
        "type": "MonoCut" if is_mono else "MultiCut",
    }


def _place(folder: str, row: Row, file: str) -> dict[str, str]:
    """Type and address of one of a sample's files, as lhotse's `AudioSource` has them."""
    if not SHARD.fullmatch(row["shard"]):
        raise Failed(f"{folder}: the index names {row['shard']!r}, which is no shard")
    path = f"{folder}/{row['shard']}"
    if path.endswith(".tar"):
        return {"type": "url", "source": f"{path}/{row['sample_id']}.{file}"}
    place = members.of_row(row).get(file)
    if place is None:
        raise Failed(
            f"{folder}: its index does not say where in its Parquet shards a source lies, as those "
            "of earlier versions; make the corpus anew, or as --format webdataset"
        )
    begin, size = int(place["offset"]), int(place["size"])
    return {
        "type": "command",
        "source": f"tail -c +{begin + 1} {shlex.quote(path)} | head -c {size}",
    }
