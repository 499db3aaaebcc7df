"""Where a pipeline runs, and what its workers must be given: our code, and paths that they see."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import google.auth
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.runners import create_runner

from stemlode import files
from stemlode.addresses.rules import scheme
from stemlode.runs import BadUsage, Failed

PROJECT = re.compile(r"[a-z][-a-z0-9.:]*")
LOCAL_RUNNER = "FnApiRunner"
LOCAL_RUNNERS = ("fnapirunner", "directrunner", "bundlebaseddirectrunner", "prismrunner")
_PROCESSES = ("PROCESS", "BEAM:ENV:PROCESS:V1", "BEAM:ENV:HARNESS_SUBPROCESS_PYTHON:V1")
_IMAGE = "an image that has both (worker/Dockerfile) with --sdk_container_image"

Named = tuple[str, str]  # what names a path (`--catalog`, `audio_uri`), and the path


def check(options: PipelineOptions) -> None:
    """BadUsage for a runner that does not exist, or whose workers would lack our code."""
    _check_workers_get_our_code(options)
    _check_project(options)


def is_local(options: PipelineOptions) -> bool:
    """Whether the pipeline runs on this machine."""
    return _runner(options) in LOCAL_RUNNERS


def is_managed(options: PipelineOptions) -> bool:
    """Whether a service makes the workers, which share no folder with anyone."""
    return _runner(options) == "dataflowrunner"


def is_dataflow(options: PipelineOptions) -> bool:
    """Whether the pipeline runs on Google's service (no emulator of it)."""
    endpoint = options.view_as(GoogleCloudOptions).dataflow_endpoint
    return is_managed(options) and "//localhost" not in str(endpoint)


def has_far_workers(options: PipelineOptions) -> bool:
    """Whether workers may be on other machines, or see other folders than this process."""
    portable = options.view_as(PortableOptions)
    kind = str(portable.environment_type).upper()
    here = portable.job_endpoint == "embed" and kind in _PROCESSES
    return not (is_local(options) or kind == "LOOPBACK" or here)


def _runner(options: PipelineOptions) -> str:
    """The runner's name in small letters, without its module."""
    return str(options.view_as(StandardOptions).runner).rsplit(".", maxsplit=1)[-1].lower()


def _check_workers_get_our_code(options: PipelineOptions) -> None:
    """Remote workers import our code, and what it imports: from our wheel and a list of packages,
    or from an image that has both. Workers of LOOPBACK run in this process, which has them."""
    if is_local(options):
        return
    if _runner(options) == "daskrunner":
        raise BadUsage(
            "--runner DaskRunner: Beam 2.77's gives the outputs of a step that has several all to "
            "each of them, so rejects would be taken for results; take a local or portable runner"
        )
    try:
        create_runner(options.view_as(StandardOptions).runner)
    except (ValueError, ImportError, AttributeError) as error:
        raise BadUsage(f"--runner: {error}") from error
    setup, portable = options.view_as(SetupOptions), options.view_as(PortableOptions)
    has_all = (
        setup.setup_file,  # names its requirements itself
        options.view_as(WorkerOptions).sdk_container_image,
        portable.environment_config,
        str(portable.environment_type).upper() == "LOOPBACK",
    )
    if any(has_all):
        return
    if not setup.extra_packages:
        raise BadUsage(
            "remote workers need our code: attach the wheel with --extra_package and what it "
            f"imports with --requirements_file, or name {_IMAGE}"
        )
    if not setup.requirements_file:
        raise BadUsage(
            f"--extra_package {setup.extra_packages[0]}: workers get the wheel without what it "
            f"imports; add --requirements_file worker/requirements.txt, or name {_IMAGE}"
        )


def _check_project(options: PipelineOptions) -> None:
    """A project's id is checked before anything is written; BigQuery needs one as Dataflow does."""
    project = options.view_as(GoogleCloudOptions).project
    if project is not None and not PROJECT.fullmatch(project):
        raise BadUsage(
            f"--project {project}: not a project id: it begins with a small letter and holds "
            "small letters, digits, '-', '.' and ':'; its number or display name will not do"
        )


def check_service(options: PipelineOptions) -> None:
    """What Dataflow would refuse, after minutes of its own attempts, before the work begins.

    Raises BadUsage where an option is missing, Failed without credentials.
    """
    if not is_dataflow(options):
        return
    view = options.view_as(GoogleCloudOptions)
    for name in ("project", "region"):
        if not getattr(view, name):
            raise BadUsage(f"--runner DataflowRunner needs --{name}")
    if not (view.temp_location or view.staging_location):
        raise BadUsage("--runner DataflowRunner needs --temp_location gs://BUCKET/FOLDER")
    if view.no_auth:
        return
    try:
        google.auth.default()
    except google.auth.exceptions.GoogleAuthError as error:
        raise Failed(
            "--runner DataflowRunner: no Google credentials here; run `gcloud auth "
            "application-default login`, or name a key's file in GOOGLE_APPLICATION_CREDENTIALS"
        ) from error


def check_accelerator(options: PipelineOptions, device: str, accelerator: str | None) -> None:
    """BadUsage where a service is not asked for the GPU that a net is to run on."""
    if is_managed(options) and device != "cpu" and not accelerator:
        raise BadUsage(
            "--runner DataflowRunner gives workers a GPU only where it is asked to: add "
            "--accelerator 'type:nvidia-l4;count:1;install-nvidia-driver', or --device cpu"
        )


def shared_roots(options: PipelineOptions, shared: Sequence[str]) -> tuple[str, ...]:
    """`--shared-path`, checked; empty where the workers run here and see all that we see."""
    for root in shared:
        if is_managed(options):
            raise BadUsage(
                f"--shared-path {root}: workers of Dataflow share no folder with anyone; copy "
                "inputs into a bucket (gsutil -m rsync -r) and name them as gs://"
            )
        if scheme(root) or not Path(root).is_dir():
            raise BadUsage(f"--shared-path {root}: not a folder of this machine")
    if not has_far_workers(options):
        return ()
    return tuple(files.absolute(root) for root in shared)


def check_paths(options: PipelineOptions, named: Iterable[Named], roots: Sequence[str]) -> None:
    """BadUsage where workers elsewhere would have to open local paths that they do not see.

    Names the first one and how many there are; `roots` are the folders that workers see as well.
    """
    if not has_far_workers(options):
        return
    lost = _lost(named, roots)
    if (first := next(lost, None)) is None:
        return
    what, path = first
    count = 1 + sum(1 for _ in lost)
    many = f" ({count:,} such paths in all)" if count > 1 else ""
    way_out = (
        "copy them into a bucket and name them as gs:// or s3://"
        if is_managed(options)
        else "put them into a store (gs://, s3://), or name a folder that every worker sees as "
        "this machine does with --shared-path"
    )
    raise BadUsage(
        f"{what} {path}: workers elsewhere do not see this machine's disk{many}; {way_out}"
    )


def _lost(named: Iterable[Named], roots: Sequence[str]) -> Iterator[Named]:
    """Local paths below none of the roots."""
    for what, path in named:
        found = scheme(path)  # as `files.is_local`, of millions of addresses
        is_here = found is None or found[1] in ("file", "local")
        if is_here and not any(_is_below(path, root) for root in roots):
            yield what, path


def _is_below(path: str, root: str) -> bool:
    plain = os.path.normpath(files.absolute(path))
    return os.path.commonpath([plain, root]) == os.path.normpath(root)
