"""The tables on disk: an Arrow schema each, every field with a unit and a sentence. No Beam.

What was written once is read by every later Stemlode, so a schema changes in two ways only:

- **A column more.** Give its `field` the release that brings it (`since="0.2"`) and let it be
  null. Older tables have no such column and read as if it were null (`tables.fitted`); what reads
  the column must know what null means. A struct's fields are columns too.
- **Anything else** (a type, a unit, what values mean): raise the table's number in `VERSIONS`,
  which `run.json` states as `schemas`, and let `tables.fitted` go on reading the old ones.
  A number that this Stemlode does not know is refused in a line by whatever reads the run.

`tests/stemlode/schemas/test_columns.py` holds the columns of version 1; it fails for any other change.
"""

from stemlode.schemas.catalogue import TRACK
from stemlode.schemas.corpus import INDEX, KINDS, LANDMARKS, SONG
from stemlode.schemas.pairs import CANDIDATE, DECISIONS, SCORED_PAIR
from stemlode.schemas.rejects import REJECT, reject
from stemlode.schemas.salience import SALIENCE
from stemlode.schemas.versions import (
    TABLES,
    VERSIONS,
    as_stored,
    lacking,
    name_of,
    schema_of,
    unknown_version,
    versions_of,
)

__all__ = [
    "CANDIDATE",
    "DECISIONS",
    "INDEX",
    "KINDS",
    "LANDMARKS",
    "REJECT",
    "SALIENCE",
    "SCORED_PAIR",
    "SONG",
    "TABLES",
    "TRACK",
    "VERSIONS",
    "as_stored",
    "lacking",
    "name_of",
    "reject",
    "schema_of",
    "unknown_version",
    "versions_of",
]
