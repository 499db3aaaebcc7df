"""Options: ours, Beam's, and neither's."""

import dataclasses
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import (
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)

from pipelines.catalogue import scan
from pipelines.match import command
from pipelines.options import Verb
from pipelines.prune import command as prune_command
from stemlode import runs
from stemlode.runs import BadUsage, Failed

NEEDED = ["--catalog", "c.parquet", "--output", "out"]


def test_beam_s_options_pass_through() -> None:
    options = command.VERB.parse([*NEEDED, "--direct_num_workers", "2", "--project=p"])
    assert options.view_as(DirectOptions).direct_num_workers == 2
    assert options.view_as(GoogleCloudOptions).project == "p"


def test_the_default_runner_needs_no_download() -> None:
    assert command.VERB.parse(NEEDED).view_as(StandardOptions).runner == "FnApiRunner"
    given = command.VERB.parse([*NEEDED, "--runner", "PrismRunner"])
    assert given.view_as(StandardOptions).runner == "PrismRunner"


def test_another_verb_s_input_is_unknown() -> None:
    with pytest.raises(BadUsage, match="--candidates"):
        command.VERB.parse([*NEEDED, "--candidates", "x"])


def test_remote_workers_need_our_code() -> None:
    with pytest.raises(BadUsage, match="--extra_package"):
        command.VERB.parse([*NEEDED, "--runner=DataflowRunner"])
    command.VERB.parse([*NEEDED, *DATAFLOW])
    command.VERB.parse([*NEEDED, "--runner=PortableRunner", "--environment_type=LOOPBACK"])
    with pytest.raises(BadUsage, match=r"DaskRunner: .*rejects would be taken"):
        command.VERB.parse([*NEEDED, "--runner=apache_beam.runners.dask.dask_runner.DaskRunner"])


@pytest.mark.parametrize("runner", ["Foo", "no.such.Runner"])
def test_a_runner_that_does_not_exist_is_named(runner: str) -> None:
    with pytest.raises(BadUsage, match=rf"--runner: .*{runner.split('.', maxsplit=1)[0]}"):
        command.VERB.parse([*NEEDED, f"--runner={runner}"])


def test_all_verbs_options_live_in_one_process() -> None:
    """A template's launcher parses every class that is loaded with one parser."""
    every = PipelineOptions(NEEDED).get_all_options(drop_default=False)
    assert every["catalog"] == "c.parquet" and every["output"] == "out"


def test_scan_takes_its_folder_without_a_name() -> None:
    assert scan.VERB.given(scan.VERB.parse(["/music", "--output", "o"])) == {"music": "/music"}


@pytest.mark.parametrize(
    "verb", [command.VERB, prune_command.VERB, scan.VERB], ids=lambda verb: verb.name
)
def test_the_plan_holds_what_decides_the_output_and_nothing_else(verb: Verb) -> None:
    given = [word for name in verb.inputs for word in (f"--{name}", "x")]
    plain = verb.parse([*given, "--output", "o"])
    other = verb.parse([*given, "--output", "p", "--direct_num_workers=2"])
    assert verb.own(plain) == verb.own(other)
    assert isinstance(beam.Pipeline(options=plain), beam.Pipeline)


def test_an_option_that_came_later_stays_as_a_run_was_begun(tmp_path: Path) -> None:
    """`--rule` and `--one-to-one` as if they had come after the run in this folder."""
    output = str(tmp_path / "out")
    before = {"tolerance": 1.0}
    assert runs.start("match", output, before, {}) is not None
    verb = dataclasses.replace(command.VERB, added={"rule": "extended", "one_to_one": True})

    def rule(*more: str) -> tuple[str, bool]:
        own = verb.own(verb.parse(["--catalog", "c", "--output", output, *more]))
        return own["rule"], own["one_to_one"]

    assert rule() == ("extended", True)
    assert rule("--rule", "thesis") == rule("--rule=thesis") == ("thesis", True)
    assert rule("--overwrite") == ("thesis", False)
    assert verb.own(verb.parse(NEEDED))["rule"] == "thesis"


@pytest.mark.parametrize("project", ["Bad Project!", "123456", "", "Upper", "-x"])
def test_a_bad_project_is_bad_usage(project: str) -> None:
    with pytest.raises(BadUsage, match=f"--project {project}: not a project id"):
        command.VERB.parse([*NEEDED, f"--project={project}"])


@pytest.mark.parametrize("project", ["my-project-1", "example.com:old-one"])
def test_a_project_may_have_a_domain(project: str) -> None:
    command.VERB.parse([*NEEDED, f"--project={project}"])


DATAFLOW = ["--runner=DataflowRunner", "--sdk_container_image=image"]


def test_dataflow_without_an_option_or_credentials_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    (tmp_path / "c.csv").write_text("track_id,title,artist,duration_s\n")
    words = ["--catalog", str(tmp_path / "c.csv"), "--output", str(tmp_path / "out"), *DATAFLOW]
    for more in ("--project=my-project", "--region=europe-west1", "--temp_location=gs://bucket/t"):
        with pytest.raises(BadUsage, match=f"needs {more.split('=', maxsplit=1)[0]}"):
            command.main(words)
        words.append(more)
    with pytest.raises(Failed, match="no Google credentials here; run `gcloud"):
        command.main(words)
    assert not (tmp_path / "out").exists()
