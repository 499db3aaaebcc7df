"""The songs that are perturbed, as elements of a pipeline: of a folder, or of a corpus."""

from collections.abc import Sequence
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.pvalue import AsDict, AsSingleton

from pipelines import transforms
from stemlode.audio import AudioError
from stemlode.layouts import folders, naming
from stemlode.layouts.songs import Song
from stemlode.retry import patiently
from stemlode.shards import songs
from stemlode.tables import Row, read_part
from training.amicable import song

WITH_STEMS = ("stems", "pair")  # kinds of recordings whose stems are true


@dataclass(frozen=True)
class Multitrack:
    """A song of a folder."""

    found: Song

    @property
    def name(self) -> str:
        """What a person knows it by."""
        return self.found.name

    @property
    def notes(self) -> list[str]:
        """What its report is to say."""
        return []

    def read(self) -> song.Song:
        """AudioError where it cannot be used."""
        if self.found.fault:
            raise AudioError(self.found.fault, "faulty")
        parts = self.found.parts
        first = {song.MIXTURE: parts[song.MIXTURE]} if song.MIXTURE in parts else {}
        return song.read(first | parts)


@dataclass(frozen=True)
class Chunked:
    """A song of a corpus, in chunks."""

    corpus: str
    name: str
    rows: list[Row]  # of the index, in order

    @property
    def notes(self) -> list[str]:
        """Where it is silent because its corpus lacks a chunk."""
        gaps = songs.missing(self.rows)
        where = ", ".join(f"{first:.1f} to {last:.1f} s" for first, last in gaps)
        said = f"the corpus lacks {where} of the song, which is taken for silent there"
        return [said] if gaps else []

    def read(self) -> song.Song:
        """AudioError where it cannot be used, Failed where the corpus cannot be reached."""
        found, rate = patiently(
            lambda: songs.sources(self.corpus, self.rows), f"--corpus {self.corpus}"
        )
        return song.of_sources(found, rate)


def in_folder(folder: str, layout: str, mapping: str | None) -> list[tuple[str, Multitrack]]:
    """Songs and the names of their folders; BadUsage as `layouts.folders.read`."""
    found = [Multitrack(one) for one in folders.read(folder, layout, "own", mapping)]
    return [*zip(_folder_names([one.name for one in found]), found, strict=True)]


def of_corpus(pipeline: beam.Pipeline, corpus: str) -> tuple[beam.PCollection, beam.PCollection]:
    """(folder's name, song) of the recordings whose stems are true, and counts of the others."""
    names = AsDict(
        pipeline
        | "NameTables" >> beam.Create(songs.tables(corpus, "songs"))
        | "ReadNames" >> beam.FlatMap(_names)
    )
    recordings = pipeline | "CorpusSongs" >> transforms.CorpusSongs(corpus)
    with_stems = recordings | "WithStems" >> beam.Filter(lambda one: has_stems(one[1][0]))
    named = with_stems | "Named" >> beam.Map(
        lambda one, known: (one[0], Chunked(corpus, known.get(one[0]) or one[0], one[1])), names
    )
    places = AsSingleton(
        named
        | "NameOf" >> beam.Map(lambda one: (one[1].name, one[0]))
        | "All" >> beam.combiners.ToList()
        | "Places" >> beam.Map(_places)
    )
    left = recordings | "WithoutStems" >> beam.FlatMap(
        lambda one: [] if has_stems(one[1][0]) else [("songs_without_stems", 1)]
    )
    return named | "Placed" >> beam.Map(lambda one, at: (at[one[0]], one[1]), places), left


def _names(path: str) -> list[tuple[str, str]]:
    table = read_part(path, ["recording_id", "name"])
    return [*zip(table["recording_id"].to_pylist(), table["name"].to_pylist(), strict=True)]


def has_stems(row: Row) -> bool:
    """Whether a row of the index is of a song with true stems, and of no augmented copy of one."""
    return row["kind"] in WITH_STEMS and not row["augmentation"]


def _places(named: list[tuple[str, str]]) -> dict[str, str]:
    """The folder of each recording."""
    ordered = sorted(named)
    return dict(
        zip([key for _, key in ordered], _folder_names([n for n, _ in ordered]), strict=True)
    )


def _folder_names(names: Sequence[str]) -> list[str]:
    return naming.of_files([f"{name}.x" for name in names])
