"""What a failing step says reaches the user as it stands, whatever process it ran in."""

import argparse
import errno
import functools
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from pipelines import causes, launch
from pipelines.options import Verb, VerbOptions
from stemlode import audio, cli, files, runs
from stemlode.runs import BadUsage, Failed

SDK = f"{sys.executable} -m apache_beam.runners.worker.sdk_worker_main"
RUNNERS = {
    "in memory": [],
    "threads": ["--direct_num_workers=2", "--direct_running_mode=multi_threading"],
    "processes": ["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
    "portable": [
        "--runner=PortableRunner",
        "--job_endpoint=embed",
        "--environment_type=beam:env:harness_subprocess_python:v1",
        f"--environment_config={SDK}",
    ],
}
ODD = "a line with: [while running 'x'] and\nBadUsage: this is not it (Failed: nor this)"
FAULTS: dict[str, tuple[Callable[[], Exception], type[Exception], str]] = {
    "usage": (lambda: BadUsage("--catalog x: no such column"), BadUsage, "--catalog x: no such"),
    "failed": (lambda: Failed(ODD), Failed, ODD),
    "bug": (lambda: KeyError("artist"), Failed, "'artist' (details in "),
    "mute": (MemoryError, Failed, "MemoryError (details in "),
    "disk": (
        lambda: OSError(errno.ENOSPC, "No space left on device", "/data/x"),
        Failed,
        "/data/x: No space left on device (details in ",
    ),
}


class _Options(VerbOptions):
    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--fault", default="")


class _Fails(beam.DoFn):
    """Fails after it has given some outputs, or before, or in between bundles."""

    def __init__(self, fault: str, where: str) -> None:
        self.fault, self.where = fault, where

    def _fail(self, where: str) -> None:
        if where == self.where:
            raise FAULTS[self.fault][0]()

    def setup(self) -> None:
        self._fail("setup")

    def start_bundle(self) -> None:
        self._fail("start_bundle")

    def process(self, element: int, at: Any = beam.DoFn.TimestampParam) -> Iterator[int]:
        yield element
        self._fail("process")

    def finish_bundle(self) -> None:
        self._fail("finish_bundle")


def _build(pipeline: beam.Pipeline, options: Any, run: runs.Run, where: str) -> None:
    fault = options.view_as(_Options).fault
    some = pipeline | beam.Create([1, 2, 3])
    biggest = beam.pvalue.AsSingleton(some | beam.CombineGlobally(max))
    found = some | beam.ParDo(_Fails(fault, where if fault else ""))
    _ = found | beam.Map(_checked, biggest, fault if where == "map" else "")


def _checked(element: int, biggest: int, fault: str) -> int:
    assert element <= biggest == 3
    if fault:
        raise FAULTS[fault][0]()
    return element


def _launch(output: Path, fault: str, where: str, *flags: str) -> int:
    verb = Verb("test", "", (), functools.partial(_build, where=where), _Options)
    return launch.launch(verb, [f"--output={output}", f"--fault={fault}", *flags])


@pytest.mark.parametrize("fault", [*FAULTS])
def test_a_failing_step_is_the_line_that_it_says(tmp_path: Path, fault: str) -> None:
    _, kind, says = FAULTS[fault]
    with pytest.raises((BadUsage, Failed)) as told:
        _launch(tmp_path / "out", fault, "process")
    assert type(told.value) is kind and str(told.value).startswith(says)
    assert "Traceback" in (tmp_path / "out" / runs.ERROR).read_text()


@pytest.mark.parametrize("where", ["setup", "start_bundle", "finish_bundle", "map"])
def test_every_place_of_a_step_tells(tmp_path: Path, where: str) -> None:
    with pytest.raises(Failed) as told:
        _launch(tmp_path / "out", "failed", where)
    assert str(told.value) == ODD


@pytest.mark.slow
@pytest.mark.parametrize("runner", [*RUNNERS])
@pytest.mark.parametrize("fault", ["usage", "failed", "bug"])
def test_on_every_runner(tmp_path: Path, runner: str, fault: str) -> None:
    _, kind, says = FAULTS[fault]
    with pytest.raises((BadUsage, Failed)) as told:
        _launch(tmp_path / "out", fault, "process", *RUNNERS[runner])
    assert type(told.value) is kind and str(told.value).startswith(says)


def test_a_cause_of_before_is_none_of_now(tmp_path: Path) -> None:
    with pytest.raises(BadUsage):
        _launch(tmp_path / "out", "usage", "process")
    assert (tmp_path / "out" / runs.CAUSE).exists()
    with pytest.raises(Failed, match=r"^a broken build \(details in "):
        verb = Verb("test", "", (), _broken, _Options)
        launch.launch(verb, [f"--output={tmp_path / 'out'}", "--fault=usage"])


def _broken(pipeline: beam.Pipeline, options: Any, run: runs.Run) -> None:
    raise ValueError("a broken build")


def test_a_full_disk_is_told_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = files.write_bytes

    def full(path: str, data: bytes) -> None:
        if runs.PLAN not in path:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(Failed) as told:
        _launch(tmp_path / "out", "failed", "process")
    assert str(told.value) == ODD


def test_our_own_cause_stands_before_what_followed_from_it(tmp_path: Path) -> None:
    run = runs.Run("test", str(tmp_path), {}, {}, 0.0)
    for error in (ConnectionResetError("gone"), Failed("the store is down"), Failed("later")):
        causes.note(run, error)
    assert str(causes.told(run)) == "the store is down"
    run.forget_failures()
    causes.forget(run)
    assert causes.told(run) is None


def test_a_run_that_is_done_leaves_no_cause(tmp_path: Path) -> None:
    argv = ["scan", str(tmp_path / "music"), "--output", str(tmp_path / "out")]
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "a.mp3").write_text("no music")
    audio.write(str(tmp_path / "music" / "b.wav"), [[0.5, -0.5] * 4000], 8000)
    assert cli.main(argv) == 0
    assert not (tmp_path / "out" / runs.CAUSE).exists()


def test_a_notebook_changes_no_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = types.SimpleNamespace(execution_count=3, config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    shows = "apache_beam.runners.interactive.interactive_environment"
    monkeypatch.setitem(sys.modules, shows, None)  # as where pandas is missing
    with pytest.raises(ImportError):
        _ = beam.Pipeline() | "One" >> beam.Create([1])
    with launch.as_a_program():
        pipeline = beam.Pipeline()
        _ = pipeline | "One" >> beam.Create([1])
    assert [part.full_label for part in pipeline.transforms_stack[0].parts] == ["One"]
    with pytest.raises(ImportError):
        _ = beam.Pipeline() | "One" >> beam.Create([1])
