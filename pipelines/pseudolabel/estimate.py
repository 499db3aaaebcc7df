"""What labelling would take, from labelling some stretches of some tracks."""

from collections import Counter

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import estimates
from pipelines.catalogue import options as catalogue_options
from pipelines.catalogue import scan, tracks
from pipelines.estimates import Estimate, Took
from pipelines.pseudolabel.encode import EncodeStretches
from pipelines.pseudolabel.options import PseudolabelOptions
from pipelines.pseudolabel.plan import LabelPlan
from pipelines.pseudolabel.segments import Segmenter, mixtures, stretches
from pipelines.pseudolabel.teacher import Stretch, TeacherHandler
from stemlode.addresses.rules import Address, Rules
from stemlode.audio import AudioError, kinds
from stemlode.ids import digest
from stemlode.retry import Unreachable
from stemlode.shards.tar import Sample
from stemlode.tables import Row

TRACKS, STRETCHES = 6, 2  # that are decoded, and of each labelled
_HOUR = 3600.0


def expected(
    options: PipelineOptions, given: dict[str, str], plan: LabelPlan, rules: Rules
) -> Estimate:
    """Label a sample; raises BadUsage and Failed as a run does."""
    every = _tracks(options, given)
    some = estimates.chosen(every, TRACKS, lambda row: row["track_id"])
    view = options.view_as(PseudolabelOptions)
    handler = TeacherHandler(
        plan.teacher, plan.target, view.device, plan.cut.batch_size, shared=False
    )
    listening, net, encoding = Took(), Took(), Took()
    rejects, segments, labelled, samples, size = Counter[str](), 0, 0, 0, 0
    listener, heard_s = Segmenter(plan.cut), 0.0
    with estimates.passing("pseudolabel") as run:
        model, encoder = handler.load_model(), EncodeStretches(run, plan)
        encoder.setup()
        encoder.start_bundle()
        with estimates.timed(listening):
            heard = []
            for row in some:
                try:
                    uri = Address(row["audio_uri"] or "", rules)
                    found = listener.hear(
                        uri, row["duration_s"], row["duration_source"], row["track_id"]
                    )
                except (AudioError, Unreachable) as error:
                    rejects[error.error] += 1
                else:
                    heard.append((row, found))
            listener.close()
        for row, found in heard:
            heard_s += len(found.samples) / plan.cut.sample_rate
            segments += len(found.active)
            for firsts in stretches(found.active, plan.cut)[:STRETCHES]:
                stretch = Stretch(row, firsts, mixtures(found.samples, firsts, plan.cut))
                with estimates.timed(net):
                    done = [*handler.run_inference([stretch], model)]
                name = digest(row["track_id"], str(firsts[0]))
                with estimates.timed(encoding):
                    outputs = [*encoder.process((name, done[0]))]
                    outputs += [getattr(one, "value", one) for one in encoder.finish_bundle()]
                kept = [one for one in outputs if isinstance(one, Sample)]
                labelled += len(firsts)
                samples += len(kept)
                size += sum(sample.size for sample in kept)
        encoder.teardown()
    # Of the tracks to all, and of the stretches that were labelled to all of a track.
    share = _share(every, some)
    more = share * segments / labelled if labelled else 0.0
    sizes = estimates.sizes_of([row["audio_uri"] for row in every if row["audio_uri"]])
    on_gpu = plan.device not in ("cpu", None)
    core_s = listening.cpu_s * share + (net.cpu_s + encoding.cpu_s) * more
    return Estimate(
        what="tracks",
        sampled=len(some),
        inputs=len(every),
        rows=samples * more,
        rows_are="segments",
        hours=samples * more * plan.cut.segment_s / _HOUR,
        read_bytes=float(sum(sizes)) if sizes is not None else 0.0,
        written_bytes=size * more,
        disk_bytes=size * more + plan.shard_bytes,
        core_hours=core_s / _HOUR,
        gpu_hours=net.wall_s * more / _HOUR if on_gpu else 0.0,
        net_share=net.cpu_s * more / core_s if core_s and not on_gpu else 0.0,
        rejects=rejects,
        rejected=sum(rejects.values()) * len(every) / max(1, len(some)),
    )


def _tracks(options: PipelineOptions, given: dict[str, str]) -> list[Row]:
    view = options.view_as(PseudolabelOptions)
    if "catalog" not in given:
        return _of_folder(given["music"], follow=not view.no_follow_links)
    catalogue = catalogue_options.catalogue_of(given["catalog"], view)
    found: dict[str, Row] = {}
    for part in catalogue.parts():
        for batch in catalogue.batches(part):
            checked = tracks.check(batch)
            rows = tracks.table(batch, checked, checked.good).to_pylist()
            found |= {row["track_id"]: row for row in rows}
    return [*found.values()]


def _of_folder(folder: str, *, follow: bool) -> list[Row]:
    """Files without their tags: which are sampled, and no more is asked of them than a length."""
    found = estimates.given(scan.listed(folder, {*kinds.EXTENSIONS}, follow=follow)).main
    nothing = {"duration_s": float("nan"), "duration_source": None, "title": "", "artist": ""}
    names = [path.removeprefix(folder).lstrip("/") for path in found]
    more = ("licence", "genre", "artist_id", "release_year", "recording_id", "work_id")
    return [
        dict.fromkeys(more) | nothing | {"track_id": digest(name), "audio_uri": path}
        for name, path in zip(names, found, strict=True)
    ]


def _share(every: list[Row], some: list[Row]) -> float:
    """How many times as much as the sample all are: by length, or by bytes, or by number."""
    if not some:
        return 0.0
    lengths = [row["duration_s"] for row in every]
    if all(length > 0 for length in lengths):  # none is unknown (NaN)
        return sum(lengths) / sum(row["duration_s"] for row in some)
    whole = estimates.sizes_of([row["audio_uri"] for row in every if row["audio_uri"]])
    part = estimates.sizes_of([row["audio_uri"] for row in some if row["audio_uri"]])
    return sum(whole) / sum(part) if whole and part and sum(part) else len(every) / len(some)
