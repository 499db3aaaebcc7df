"""A step of the pipeline: one song → its encoded samples."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from pipelines.corpus import splits
from pipelines.corpus.options import CorpusPlan
from pipelines.corpus.splits import SplitGroup
from pipelines.samples import recordings, sampling
from pipelines.samples.parts import part
from pipelines.samples.recordings import Facts, Recording
from stemlode import runs
from stemlode.audio import AudioError
from stemlode.progress import meters
from stemlode.retry import Unreachable, reach_all, stores_of
from stemlode.schemas import reject
from stemlode.shards.tar import Sample


class Encode(beam.DoFn):
    """A recording and its group → its samples in a part file, or one reject.

    Main output: `tar.Sample`; further outputs `rejects`, `songs` and `counts`. `missed` are
    recordings that could not be read before, by their ids: (address, why).
    """

    def __init__(self, run: runs.Run, plan: CorpusPlan) -> None:
        self.run, self.plan = run, plan

    def process(
        self, element: tuple[Recording, SplitGroup], missed: dict[str, tuple[str, str]]
    ) -> Iterator[Any]:
        recording, group = element
        record = dataclasses.asdict(recording)
        try:
            if before := missed.get(recording.recording_id):
                uri, why = before
                raise Unreachable(why, uri)
            with meters.item("recordings", recording.name):
                found = [*self._outputs(recording, group)]
        except (AudioError, Unreachable) as error:
            if isinstance(error, Unreachable):
                record |= {"audio_uri": error.uri}
            meters.step("recordings")
            row = reject("corpus", recording.name, error.error, str(error), record)
            yield TaggedOutput("rejects", row)
        else:
            yield from found

    def _outputs(self, recording: Recording, group: SplitGroup) -> Iterator[Any]:
        """All that comes of a recording that can be used, its copies included."""
        split = group.split or splits.split_of(group.group, self.plan.ratios, self.plan.seed)
        if recording.split not in (None, split):
            elsewhere = f"listed in {recording.split}, and {split} holds the same song"
            raise recordings.Unusable(f"{elsewhere}: {'; '.join(group.joined)}", "two_sides")
        if recording.bleed and self.plan.rejects_bleed:
            leaking = f"others leak into {', '.join(recording.bleed)}"
            raise recordings.Unusable(leaking, "bleed")
        samples, facts = self._part(recording, split, group.group)
        yield from samples
        yield TaggedOutput("songs", self._song_row(recording, split, group, facts))
        yield TaggedOutput("counts", ("recordings", 1))
        yield from self._counts(facts)
        if split == "train":
            yield from self._copies(recording, group)

    def _copies(self, recording: Recording, group: SplitGroup) -> Iterator[Any]:
        """The samples of a recording's augmented copies; a copy may turn out all but silent."""
        if not self.plan.copies:
            return
        from pipelines.samples import copies  # noqa: PLC0415 (its library is an extra)

        for copy in copies.of(recording, self.plan.copies, self.plan.seed):
            try:
                samples, facts = self._part(copy, "train", group.group)
            except recordings.Unusable:
                yield TaggedOutput("counts", ("copies_unusable", 1))
            else:
                yield from samples
                yield TaggedOutput("songs", self._song_row(copy, "train", group, facts))
                yield TaggedOutput("counts", ("copies", 1))
                yield from self._counts(facts)

    def _counts(self, facts: Facts) -> Iterator[Any]:
        yield TaggedOutput("counts", ("left_out", facts.left_out))
        yield TaggedOutput("counts", ("audio_seconds", round(facts.audio_seconds)))

    def _part(self, recording: Recording, split: str, group: str) -> tuple[list[Sample], Facts]:
        shape = self.plan.shape
        fingerprint, samples = _maker(recording)

        def make() -> tuple[list[Sample], dict[str, Any]]:
            facts, before_s = Facts(), meters.decoded_s()

            def known() -> dict[str, Any]:
                facts.audio_seconds = meters.decoded_s() - before_s
                return dataclasses.asdict(facts)

            return part(
                self.run,
                fingerprint(recording, split, group, shape),
                lambda: samples(recording, split, group, shape, facts),
                known,
            )

        with stores_of(self.run).files(recordings.uris(recording)):
            held, found = reach_all(make, f"--output {self.run.output}")
        return held, Facts(**found)

    def _song_row(
        self, recording: Recording, split: str, group: SplitGroup, facts: Facts
    ) -> dict[str, Any]:
        """A row of schemas.SONG."""
        artist = recording.artist if self.plan.split_by == "artist" else None
        known = dataclasses.asdict(facts)
        del known["audio_seconds"]
        return {
            "recording_id": recording.recording_id,
            "song_id": recording.song_id,
            "name": recording.name,
            "kind": recording.kind,
            "split": split,
            "split_group": group.group,
            "joined": list(group.joined) or None,
            "bleed": list(recording.bleed) or None,
            "artists": list(artist.keys) if artist else None,
            "listed": recording.split,
            **known,
        }


def _maker(recording: Recording) -> tuple[Callable[..., str], Callable[..., Iterator[Any]]]:
    """What names a recording's samples, and what makes them."""
    if not recording.augmentation:
        return recordings.fingerprint, sampling.samples
    from pipelines.samples import copies  # noqa: PLC0415 (its library is an extra)

    return copies.fingerprint, copies.samples
