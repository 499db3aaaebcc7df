"""The teacher as a model of RunInference."""

from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.pseudolabel.teacher import Done, Stretch, TeacherHandler
from training.teachers import loading
from training.teachers.labelling import Labeller

NOTED = "tests.training.teachers.plain_teachers:noted"
PROCESSES = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]


def stretch(number: int) -> tuple[str, Stretch]:
    drawn = np.random.default_rng(number).uniform(-0.1, 0.1, (3, 2, 8000))
    return str(number), Stretch({}, [0, 1, 2], drawn.astype(np.float32))


def written(element: tuple[str, Done], folder: str) -> None:
    name, (_, labelled) = element
    np.save(f"{folder}/{name}.npy", labelled.target)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shared", "flags", "loads"), [(False, [], 1), (True, [], 1), (True, PROCESSES, 1)]
)
def test_processes_share_one_copy_where_they_share_a_gpu(
    shared: bool, flags: list[str], loads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEMLODE_LOADS", str(tmp_path / "loads"))
    handler = TeacherHandler(NOTED, "vocals", "cpu", 4, shared=shared)
    options = PipelineOptions(["--runner=FnApiRunner", *flags])
    with beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | beam.Create(range(8))
            | beam.Reshuffle()
            | beam.Map(stretch)
            | RunInference(KeyedModelHandler(handler))
            | beam.Map(written, str(tmp_path))
        )
    assert len((tmp_path / "loads").read_text().split()) == loads
    alone = Labeller(loading.load(NOTED, "cpu"), "vocals", 4)
    for number in range(8):
        found = np.load(tmp_path / f"{number}.npy")
        assert np.array_equal(found, alone.label(stretch(number)[1].mixture).target)
