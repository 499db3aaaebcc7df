"""Dataflow, as far as its service: templates, the job that is handed over, and what it asks for."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2

from pipelines import templates
from pipelines.remote import runners
from stemlode import cli, files, runs
from stemlode.runs import BadUsage
from tests.installed import PROJECT

IMAGE = "europe-west1-docker.pkg.dev/p/stemlode/worker:1"
HINT = "type:nvidia-l4;count:1;install-nvidia-driver"
NETS = ("pseudolabel", "perturb-songs", "salience")
RATE = 22_050
WEIGHTS = "deepsalience_multif0.h5"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make worker-templates` writes."""
    folder = tmp_path_factory.mktemp("templates") / "new"
    templates.write(folder)
    return folder


@pytest.mark.parametrize("verb", templates.PIPELINES)
def test_the_metadata_is_that_of_the_options(written: Path, verb: str) -> None:
    held = json.loads((written / f"{verb}.json").read_text())
    parameters = {parameter["name"]: parameter for parameter in held["parameters"]}
    assert len(parameters) == len(held["parameters"]) and all(map(str.isidentifier, parameters))
    assert all(parameter["helpText"] for parameter in parameters.values())
    own = {action.dest for action in templates.verb_of(verb)._parser()._actions}
    assert own - {*parameters} <= templates.HERE | {*templates.verb_of(verb).dry}
    assert not {"shared_path", "config", "runner"} & {*parameters}
    assert not parameters["output"]["isOptional"] and parameters["overwrite"]["isOptional"]


def test_a_pipeline_s_parameters_are_typed(written: Path) -> None:
    held = json.loads((written / "corpus.json").read_text())
    kinds = {parameter["name"]: parameter for parameter in held["parameters"]}
    assert kinds["overwrite"]["paramType"] == "BOOLEAN"
    assert {"value": "parquet"} in kinds["format"]["enumOptions"]
    assert kinds["pairs"]["regexes"] == [templates.STORED]


def test_every_beam_verb_has_a_template() -> None:
    cluster = (PROJECT / "docs" / "cluster.md").read_text()
    assert all(f"`{verb}`" in cluster for verb in templates.PIPELINES)


def test_parameters_become_options() -> None:
    given = ["--d_min=0.1", "--align=false", "--repair=true", "--no_follow_links=false"]
    given += ["--allow_uri=http://a;http://b", "--runner=DataflowRunner", "--candidates=gs://b/c"]
    found = templates.command_line("prune", given)
    assert found[:3] == ["--d-min=0.1", "--no-align", "--repair"]
    assert found[3:] == ["--allow-uri=http://a", "--allow-uri=http://b", *given[-2:]]


def test_a_net_on_dataflow_asks_for_its_gpu() -> None:
    options = PipelineOptions(["--runner=DataflowRunner"])
    with pytest.raises(BadUsage, match="a GPU only where it is asked to: add --accelerator"):
        runners.check_accelerator(options, "cuda", None)
    runners.check_accelerator(options, "cpu", None)
    runners.check_accelerator(options, "cuda", HINT)
    runners.check_accelerator(PipelineOptions(["--runner=FlinkRunner"]), "cuda", None)


@pytest.fixture(scope="module")
def stored(gs: str, test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Inputs of every verb in a bucket."""
    work = tmp_path_factory.mktemp("dataflow")
    rng = np.random.default_rng(0)
    for name in ("music/A - B.wav", "music/A - B (Instrumental).wav"):
        _noise(work / name, rng)
    for song in range(2):
        for stem in ("vocals", "accompaniment"):
            _noise(work / f"stems/song {song}/{stem}.wav", rng)
    small = ["--fingerprints", "off", "--chunk-seconds", "1", "--split", "train=1"]
    words = ["corpus", "--stems", work / "stems", "--output", work / "corpus", *small]
    assert cli.main([*map(str, words)]) == 0
    for path in work.rglob("*"):
        if path.is_file():
            files.write_bytes(f"{gs}/{path.relative_to(work)}", path.read_bytes())
    weights = (test_data / "weights" / WEIGHTS).read_bytes()
    files.write_bytes(f"{gs}/{WEIGHTS}", weights)
    assert cli.main(["scan", f"{gs}/music", "--output", f"{gs}/tracks"]) == 0
    catalogue = ["--catalog", f"{gs}/tracks", "--output", f"{gs}/candidates", "--rule", "extended"]
    assert cli.main(["match", *catalogue]) == 0
    return gs


def _noise(path: Path, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    walk = rng.integers(-9, 10, 2 * RATE).cumsum() % 9000
    soundfile.write(path, walk.astype(np.int16), RATE, subtype="PCM_16")


@pytest.mark.slow
@pytest.mark.parametrize("verb", templates.PIPELINES)
def test_a_template_s_launcher_hands_the_job_over_and_ends(
    stored: str, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job's file names the image, asks for a GPU where a net runs and nowhere else, and what it
    needs is staged; the folder is claimed and not yet done."""
    inputs = {
        "scan": ["--music=@/music"],
        "match": ["--catalog=@/tracks"],
        "prune": ["--candidates=@/candidates"],
        "corpus": ["--stems=@/stems"],
        "pseudolabel": [
            "--music=@/music",
            "--teacher=tests.training.teachers.plain_teachers:halves",
        ],
        "salience": ["--corpus=@/corpus", f"--weights=@/{WEIGHTS}"],
        "perturb-songs": ["--stems=@/stems", "--model=tests.training.amicable.separators:half"],
    }
    output, job = f"{stored}/{verb}-out", f"{stored}/{verb}.json"
    words = [word.replace("@", stored) for word in inputs[verb]]
    words += [f"--output={output}", "--runner=DataflowRunner", "--project=some-project"]
    words += ["--region=europe-west1", f"--temp_location={stored}/temp/{verb}", "--no_auth"]
    words += [f"--sdk_container_image={IMAGE}", f"--template_location={job}"]
    words += [f"--accelerator={HINT}"] if verb in NETS else []
    monkeypatch.setenv(templates.VARIABLE, verb)
    assert templates.main(words) == 0
    assert f"handed over to the runner; {output} will hold _SUCCESS" in capsys.readouterr().out
    assert files.exists(f"{output}/{runs.PLAN}") and not files.exists(f"{output}/{runs.SUCCESS}")
    pool = json.loads(files.read_bytes(job))["environment"]["workerPools"][0]
    assert {held["containerImage"] for held in pool["sdkHarnessContainerImages"]} == {IMAGE}
    [staged] = [p for p in files.list_files(f"{stored}/temp/{verb}") if p.endswith("pipeline.pb")]
    pipeline = beam_runner_api_pb2.Pipeline.FromString(files.read_bytes(staged))
    environments = pipeline.components.environments.values()
    assert all(IMAGE.encode() in one.payload for one in environments if one.payload)
    hinted = {name: one.resource_hints for name, one in pipeline.components.environments.items()}
    with_gpu = {name for name, hints in hinted.items() if any("accelerator" in h for h in hints)}
    steps = {
        step.unique_name
        for step in pipeline.components.transforms.values()
        if step.environment_id in with_gpu
    }
    wanted = {"pseudolabel": "Teacher", "perturb-songs": "Perturb", "salience": "Hear"}.get(verb)
    assert any(wanted in step for step in steps) if wanted else not steps
    assert not any("Finish" in step or "Shards" in step for step in steps)
