"""What an addition to a finished corpus counts and leaves, in a pipeline. See `append`."""

import json

import apache_beam as beam

from pipelines.append import Held


def new_counts(found: beam.PCollection, held: Held) -> beam.PCollection:
    """How many recordings of which kind are new to a corpus, and not among its rejects."""
    names = {"pair": "pairs", "unpaired": "unpaired"}
    rejected = held.rejected()
    return (
        found
        | "New" >> beam.Filter(lambda recording: held.wants(recording.recording_id))
        | "NewIds" >> beam.Map(lambda recording: (recording.recording_id, recording.kind))
        | "NewOnes" >> beam.Distinct()
        | "Unknown" >> beam.Filter(lambda new: new[0] not in rejected)
        | "CountNew" >> beam.Map(lambda new: (names.get(new[1], "multitracks"), 1))
    )


def left(found: beam.PCollection, held: Held) -> beam.PCollection:
    """Rejects of a corpus that an addition does not try again."""
    tried = (
        found
        | "Tried" >> beam.Filter(lambda recording: held.wants(recording.recording_id))
        | "TriedIds" >> beam.Map(lambda recording: (recording.recording_id, None))
    )
    before = found.pipeline | "RejectsBefore" >> beam.Create(held.rejects)
    return (
        {"tried": tried, "before": before}
        | "JoinRejects" >> beam.CoGroupByKey()
        | "NotTried" >> beam.FlatMap(lambda one: [] if one[1]["tried"] else one[1]["before"])
        | "RejectRows" >> beam.Map(json.loads)
    )
