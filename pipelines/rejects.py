"""Dead letters: every record that cannot be used comes out here, once, with its reason."""

import json
from collections.abc import Mapping
from typing import Any


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
