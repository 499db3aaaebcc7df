"""Beam's own job server, with several workers: each job asks the pool as often.

`local_job_service_main` as it is gives each job a single worker. As there, what ends a job with a
line of its own is the engine's, not the launcher's, which may be gone.

    python -m cluster.engine WORKERS --port 8099 …      options are those of local_job_service_main
"""

import sys

from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability import local_job_service, local_job_service_main
from apache_beam.runners.portability.fn_api_runner import fn_runner


def serve(workers: int, argv: list[str]) -> None:
    """Serve jobs until the process ends."""

    class Job(local_job_service.BeamJob):
        def _invoke_runner(self) -> object:
            self.set_state(beam_job_api_pb2.JobState.RUNNING)
            runner = fn_runner.FnApiRunner(provision_info=self._provision_info)
            runner._num_workers = workers  # no option of a job reaches it
            return runner.run_via_runner_api(self._pipeline_proto, self.pipeline_options())

    local_job_service.BeamJob = Job  # type: ignore[misc]
    local_job_service_main.run(argv)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2:])
