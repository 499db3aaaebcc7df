"""What a file does not say of itself. Free of Beam."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dialect:
    """How the files of a catalogue are written, as far as a user has to say it.

    encoding: of text; strict UTF-8 where it is None.
    partitions: "hive" where folders name columns (`artist=Muse/`), else folders mean nothing.
    """

    encoding: str | None = None
    partitions: str | None = None


PLAIN = Dialect()
