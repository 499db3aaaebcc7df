"""Records that a verb could not use."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from stemlode.schemas.fields import NONE, field

REJECT = pa.schema(
    [
        field("stage", "str", NONE, "The verb that could not use the record.", required=True),
        field("key", "str", NONE, "The record's id, or where it lies.", required=True),
        field("error", "str", NONE, "The cause in one word, to group by.", required=True),
        field("message", "str", NONE, "The cause in a sentence.", required=True),
        field("record", "str", NONE, "The record as JSON, without audio.", required=True),
    ]
)


def reject(
    stage: str, key: str, error: str, message: str, record: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """A row of schemas.REJECT.

    Args:
        stage: the verb that could not use the record.
        key: the record's id, or where it lies (`catalogue.csv row 7`).
        error: the cause in one word, to group by.
        message: the cause in a sentence.
        record: what is known of the record, without audio.
    """
    facts = json.dumps(record or {}, sort_keys=True, ensure_ascii=False, default=str)
    return {"stage": stage, "key": key, "error": error, "message": message, "record": facts}
