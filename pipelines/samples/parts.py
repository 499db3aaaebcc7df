"""Recordings → part files: each is read, aligned, cut and encoded once, or not at all."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from stemlode import files, runs
from stemlode.progress import meters
from stemlode.shards import tar
from stemlode.shards.tar import Sample


def part(
    run: runs.Run,
    name: str,
    samples: Callable[[], Iterator[tuple[dict[str, Any], dict[str, bytes]]]],
    facts: Callable[[], dict[str, Any]],
) -> tuple[list[Sample], dict[str, Any]]:
    """A part file's samples and the facts beside it: an earlier attempt's, or made now and kept.

    Args:
        name: a digest of all that decides the samples.
        samples: called where they are not there: index rows (schemas.INDEX without shard, offset
            and size) and files by extension, as `tar.write_part` takes them.
        facts: called after the last sample: what is to be known of them without making them again.

    Raises OSError where the disk or the store does not take them, and what `samples` raises.
    """
    path = run.path(runs.PARTS, f"{name}.part")

    def noting() -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
        yield from samples()
        files.write_bytes(f"{path}.facts", json.dumps(facts()).encode())  # before the part is whole

    if (held := tar.read_part(path)) is not None:
        meters.was_held()
        return held, json.loads(files.read_bytes(f"{path}.facts"))
    return tar.write_part(path, noting()), facts()
