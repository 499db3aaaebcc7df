"""What workers elsewhere lack is said before the work begins, or by the worker, in one line."""

import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import causes
from pipelines.catalogue import scan
from pipelines.corpus import command as corpus_command
from pipelines.match import command as match_command
from pipelines.options import Verb
from pipelines.perturb import command as perturb_command
from pipelines.prune import command as prune_command
from pipelines.pseudolabel import command as pseudolabel_command
from pipelines.remote import runners, workers
from pipelines.salience import command as salience_command
from stemlode import cli, runs, schemas
from stemlode.runs import BadUsage, Failed
from tests.pipelines.remote.declared import names

VERBS = [
    module.VERB
    for module in (
        *(scan, match_command, prune_command, corpus_command),
        *(pseudolabel_command, salience_command, perturb_command),
    )
]
FAR = ["--runner=PortableRunner", "--job_endpoint=engine:8099", "--environment_type=EXTERNAL"]
FAR += ["--environment_config=worker:50000"]
DATAFLOW = ["--runner=DataflowRunner", "--sdk_container_image=image", "--no_auth"]
DATAFLOW += ["--project=some-project", "--region=europe-west1", "--temp_location=gs://b/tmp"]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_workers_are_asked_for_what_the_verb_s_extras_install(verb: Verb) -> None:
    extras = cli.VERBS[verb.name][1][0].split(",")
    named = {"PIL": "pillow"}
    of_an_option = {name for name, option in verb.imports.items() if option}
    wanted = {named.get(name, name.replace("_", "-")) for name in {*verb.imports} - of_an_option}
    assert wanted <= names(*extras)


def _needs(*modules: str, **more: object) -> workers.Needs:
    return workers.Needs("prune", modules, **more)


def test_a_missing_package_is_named_with_its_extra_and_the_worker() -> None:
    line = workers.lacking(_needs("json", "no_such_package"))
    assert line is not None and line.startswith("worker ")
    assert line.endswith("stemlode prune needs no_such_package: pip install 'stemlode[pipelines]'")
    client = workers.without("prune", "s3fs", "worker w")
    assert client == "worker w: stemlode prune needs s3fs: pip install 'stemlode[s3]'"
    assert "has no Stemlode" in workers.without("prune", "matching.sound", "a worker")
    assert workers.lacking(_needs("json")) is None


def test_another_version_is_named() -> None:
    line = workers.lacking(_needs(versions=(("apache-beam", "1.0"),)))
    assert line is not None and "has apache-beam 2." in line and "the launcher 1.0" in line


def test_a_store_s_client_is_asked_for(tmp_path: Path) -> None:
    run = runs.Run("prune", "s3://bucket/out", {}, {}, 0.0)
    found = workers.needs(run, ["av"], {"candidates": "gs://bucket/in"}, [])
    assert found.modules == ("av", "s3fs", "gcsfs") and found.paths == ()


def test_a_worker_that_sees_another_folder_says_so(tmp_path: Path) -> None:
    run = runs.Run("prune", str(tmp_path / "out"), {}, {}, 0.0)
    (tmp_path / "out").mkdir()
    plan = tmp_path / "out" / runs.PLAN
    plan.write_text("{}")
    found = workers.needs(run, [], {"candidates": str(tmp_path)}, [str(tmp_path)])
    assert workers.lacking(found) is None
    workers.lacking.cache_clear()
    plan.write_text("another run's")
    line = workers.lacking(found)
    assert line is not None and f"--shared-path {tmp_path}" in line and str(plan) in line
    workers.lacking.cache_clear()
    plan.unlink()
    assert str(plan) in (workers.lacking(found) or "")


class _Counts(beam.DoFn):
    """A step whose code the worker may lack."""

    def process(self, element: int, sides: list[int]) -> list[int]:
        return [element]


def test_a_step_arrives_where_its_code_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker fails in `setup`, before the step's own code is looked at, and says why."""
    run = runs.Run("prune", str(tmp_path), {}, {}, 0.0)
    sent = pickler.dumps(
        causes.Telling(_Counts(), run, causes.Attempt("another", _needs("no_such_package")))
    )
    monkeypatch.delattr(sys.modules[__name__], "_Counts")
    step = pickler.loads(sent)
    with pytest.raises(Failed, match=r"worker .*needs no_such_package: pip install"):
        step.setup()
    assert "no_such_package" in str(causes.told(run))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "Error\n  File x\nstemlode.runs.Failed: worker w needs y [while running 'Z']",
            "w needs y",
        ),
        (
            "…\nModuleNotFoundError: No module named 'scipy'\n…",
            "a worker: stemlode prune needs scipy",
        ),
        ("No module named 'x', said a file", ""),
    ],
)
def test_what_only_a_runner_s_text_says(text: str, says: str) -> None:
    found = causes.in_text(RuntimeError(text), runs.Run("prune", "out", {}, {}, 0.0))
    assert says in str(found) if says else found is None


@pytest.mark.slow
def test_workers_that_lack_a_package_end_the_run_with_one_line(tmp_path: Path) -> None:
    """Real worker processes, in which one package cannot be imported."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "mutagen.py").write_text("raise ModuleNotFoundError('no', name='mutagen')")
    music = tmp_path / "music"
    music.mkdir()
    worker = f"env PYTHONPATH={blocked}:{Path.cwd()} {sys.executable} "
    worker += "-m apache_beam.runners.worker.sdk_worker_main"
    words = [sys.executable, "-m", "stemlode", "scan", music, "--output", tmp_path / "out"]
    words += ["--runner=PortableRunner", "--job_endpoint=embed", f"--environment_config={worker}"]
    words += ["--environment_type=beam:env:harness_subprocess_python:v1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: worker ")
    assert "stemlode scan needs mutagen: pip install 'stemlode[pipelines]'" in done.stderr


def _candidates(folder: Path, uris: list[str | None]) -> str:
    """A finished run of match with these candidates, as far as prune looks at it at first."""
    folder.mkdir()
    track = {"track_id": "t", "title": "x", "artist_id": "a", "duration_s": 1.0}
    rows = [
        {"pair_id": f"{n}", "song_id": f"{n}", "mix": track, "instrumental": track}
        | {"mix_track_id": f"m{n}", "instrumental_track_id": f"i{n}", "mix_audio_uri": uri}
        | {"instrumental_audio_uri": "gs://bucket/b.flac"}
        for n, uri in enumerate(uris)
    ]
    for row in rows:
        for field in schemas.CANDIDATE:
            row.setdefault(field.name, None if field.nullable else _some(field.type))
    name = "candidates-00000-of-00001.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schemas.CANDIDATE), folder / name)
    run = runs.start("match", str(folder / "x"), {}, {})
    assert run is not None
    for path in (folder / "x").iterdir():
        path.rename(folder / path.name)
    runs.Run("match", str(folder), {}, {}, 0.0).finish({}, {name: ""})
    return str(folder)


def _some(kind: pa.DataType) -> object:
    return "" if pa.types.is_string(kind) else 0


def test_local_audio_on_a_remote_runner_is_bad_usage(tmp_path: Path) -> None:
    uris = ["gs://bucket/a.flac", "/music/a.flac", "/music/b.flac", None]
    candidates = _candidates(tmp_path / "candidates", uris)
    words = ["--candidates", candidates, "--output", str(tmp_path / "out"), *FAR]
    with pytest.raises(BadUsage, match=r"--candidates .*this machine's disk \(4 such paths in all"):
        prune_command.main(words)
    with pytest.raises(BadUsage, match=r"mix_audio_uri /music/a.flac: .*\(2 such paths"):
        prune_command.main([*words, f"--shared-path={tmp_path}"])
    options = prune_command.VERB.parse(words)
    given = [("audio_uri", uri) for uri in uris if uri]
    runners.check_paths(options, given, ["/music"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (FAR, r"--music .*/music: workers elsewhere .*\(2 such paths.*--shared-path"),
        (DATAFLOW, r"--music .*: .*copy them into a bucket"),
        ([*DATAFLOW, "--shared-path=/"], r"--shared-path /: workers of Dataflow share no folder"),
        ([*FAR, "--shared-path=gs://b"], r"--shared-path gs://b: not a folder of this machine"),
        ([*FAR, "--shared-path=/no/such"], r"--shared-path /no/such: not a folder"),
    ],
)
def test_local_inputs_and_outputs(tmp_path: Path, more: list[str], says: str) -> None:
    music = tmp_path / "music"
    music.mkdir()
    with pytest.raises(BadUsage, match=says):
        scan.main([str(music), "--output", str(tmp_path / "out"), *more])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "far"),
    [
        ([], False),
        (["--runner=PortableRunner", "--environment_type=LOOPBACK"], False),
        (FAR, True),
        (["--runner=FlinkRunner", "--environment_config=image"], True),
        (DATAFLOW, True),
    ],
)
def test_whose_workers_see_this_disk(words: list[str], far: bool) -> None:
    assert runners.has_far_workers(PipelineOptions(words or ["--runner=FnApiRunner"])) is far


def test_a_name_beside_the_shared_folder_is_not_below_it() -> None:
    options = PipelineOptions(FAR)
    runners.check_paths(options, [("--output", "/data/x/../y")], ["/data"])
    for path in ("/data2/x", "/data/../etc/x", "file:///data2"):
        with pytest.raises(BadUsage, match="workers elsewhere"):
            runners.check_paths(options, [("--output", path)], ["/data"])


def test_the_wheel_alone_is_bad_usage() -> None:
    words = ["--music=m", "--output=o", "--runner=DataflowRunner"]
    with pytest.raises(BadUsage, match=r"--extra_package s.whl: workers get the wheel without"):
        scan.VERB.parse([*words, "--extra_package=s.whl"])
    scan.VERB.parse([*words, "--extra_package=s.whl", "--requirements_file=r.txt"])
    scan.VERB.parse([*words, "--sdk_container_image=image"])
