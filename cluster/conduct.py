"""The verbs, one after the other, as jobs of a cluster: each launcher is killed once its job runs.

Runs on the engine's host (see `cluster.demo`), where the job server is on the loopback.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from stemlode import files, runs

BUCKET = "s3://bucket"
State = beam_job_api_pb2.JobState
OVER = (State.DONE, State.FAILED, State.CANCELLED)
LOST_S = 30.0  # that an engine may take to notice a lost worker


@dataclass(frozen=True)
class Cluster:
    """What a cluster is made of.

    endpoint: of the job server. flags: how jobs reach the workers. engine: the command that serves
    jobs, empty where somebody else's does. pools: process ids of the worker pools.
    """

    endpoint: str
    flags: list[str]
    engine: list[str]
    pools: list[int]
    work: str
    lost_in: str
    verbs: list[str]


def main(config: str) -> int:
    """Conduct; the exit status."""
    cluster = Cluster(**json.loads(Path(config).read_text()))
    conductor = Conductor(cluster)
    try:
        conductor.serve()
        conductor.all()
    except (RuntimeError, runs.Failed, OSError) as error:
        print(f"error: {error}", flush=True)
        return 1
    finally:
        conductor.end()
    return 0


class Conductor:
    """Submits jobs and looks at what becomes of them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.work = Path(cluster.work)
        self.engine: subprocess.Popen[bytes] | None = None
        self.known: set[str] = set()

    def serve(self) -> None:
        """Start the engine, where it is ours, and wait until it answers."""
        if self.cluster.engine:
            log = (self.work / "engine.log").open("ab")
            self.engine = subprocess.Popen(
                self.cluster.engine, stdout=log, stderr=log, start_new_session=True
            )
        channel = grpc.insecure_channel(self.cluster.endpoint)
        try:
            grpc.channel_ready_future(channel).result(timeout=120)
        except grpc.FutureTimeoutError as error:
            raise RuntimeError(f"no job server at {self.cluster.endpoint}") from error
        self.jobs = beam_job_api_pb2_grpc.JobServiceStub(channel)
        self.known = {job.job_id for job in self._jobs()}

    def end(self) -> None:
        """End the engine, where it is ours."""
        if self.engine is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.engine.pid, signal.SIGKILL)
            self.engine.wait()
            self.engine = None

    def all(self) -> None:
        """Every verb that was asked for, in the order of the flow."""
        for verb, line in flow().items():
            words = line
            if verb in self.cluster.verbs:
                if verb == "corpus" and "prune" not in self.cluster.verbs:
                    words = [word for word in line if word not in ("--pairs", f"{BUCKET}/pairs")]
                if verb == "pseudolabel":
                    self._train()
                self.verb(verb, words)

    def verb(self, verb: str, words: list[str]) -> None:
        """One verb as a job, whose launcher is killed; where it is to lose a worker, twice."""
        output, begun = words[words.index("--output") + 1], time.monotonic()
        job = self._submit(verb, words)
        fate = ""
        if verb == self.cluster.lost_in:
            fate = self._lose_a_worker(job, output)
            if not files.exists(files.join(output, runs.SUCCESS)):
                job = self._submit(verb, words)
        self._wait(job, None)
        if not files.exists(files.join(output, runs.SUCCESS)):
            raise RuntimeError(f"{verb}: the job ended without {runs.SUCCESS}: {self._said(job)}")
        print(
            f"{verb}: done in {time.monotonic() - begun:.1f} s, launcher killed{fate}", flush=True
        )
        if verb == self.cluster.lost_in:
            self._compare(verb, words, output)

    def _submit(self, verb: str, words: list[str]) -> str:
        """The id of the job, which runs, while its launcher does no longer."""
        log = self.work / f"{verb}.log"
        with log.open("wb") as sink:
            launcher = subprocess.Popen(
                [sys.executable, "-m", "stemlode", *words, *self.cluster.flags],
                stdout=sink,
                stderr=sink,
            )
        try:
            while not (job := self._running()):
                if launcher.poll() is not None:
                    raise RuntimeError(f"{verb}: not submitted: {_last(log)}")
                time.sleep(0.1)
        finally:
            launcher.kill()
            launcher.wait()
        return job

    def _running(self) -> str:
        """A job that is new and runs, or has run."""
        for job in self._jobs():
            if job.job_id not in self.known and job.state in (State.RUNNING, *OVER):
                self.known.add(job.job_id)
                return str(job.job_id)
        return ""

    def _jobs(self) -> list[beam_job_api_pb2.JobInfo]:
        return list(self.jobs.GetJobs(beam_job_api_pb2.GetJobsRequest()).job_info)

    def _wait(self, job: str, seconds: float | None) -> int:
        """The state in which a job ended, or is after so many seconds."""
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            state = self.jobs.GetState(beam_job_api_pb2.GetJobStateRequest(job_id=job)).state
            if state in OVER or (end is not None and time.monotonic() > end):
                return int(state)
            time.sleep(0.1)

    def _said(self, job: str) -> str:
        request = beam_job_api_pb2.JobMessagesRequest(job_id=job)
        lines = []
        for message in self.jobs.GetMessageStream(request):
            if message.HasField("message_response"):
                lines += message.message_response.message_text.strip().splitlines()
        return lines[-1] if lines else "the engine says nothing"

    def _lose_a_worker(self, job: str, output: str) -> str:
        """Kill a worker once something is finished; what the engine makes of it, in words."""
        parts = files.join(output, runs.PARTS)
        while not files.list_files(parts):
            state = self._wait(job, 0.0)
            if state in OVER:
                raise RuntimeError(f"the job ended before a worker was lost: {self._said(job)}")
        victims = [pid for pool in self.cluster.pools for pid in _below(pool)]
        if not victims:
            return ", no worker of ours to kill"
        os.kill(victims[-1], signal.SIGKILL)
        kept = len(files.list_files(parts))
        state = self._wait(job, LOST_S)
        if state == State.DONE:
            return ", a worker killed: the engine gave its work to others"
        word = "failed" if state in OVER else f"still waited after {LOST_S:.0f} s and was ended"
        if state not in OVER and self.engine is not None:
            self.end()
            self.serve()
        return f", a worker killed after {kept} parts: the job {word}; the same command resumed"

    def _compare(self, verb: str, words: list[str], output: str) -> None:
        """The same verb in this process' own machine, undisturbed, gives the same bytes."""
        alone = f"{output}-alone"
        words = [alone if word == output else word for word in words]
        done = subprocess.run(
            [sys.executable, "-m", "stemlode", *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{verb} alone: {done.stderr.strip()}")
        if runs.record(alone)["outputs"] != runs.record(output)["outputs"]:
            raise RuntimeError(f"{verb}: other bytes than those of an undisturbed run")
        print(f"{verb}: the same bytes as an undisturbed run on one machine", flush=True)

    def _train(self) -> None:
        """A teacher, two steps old: what it says is of no matter here."""
        model = self.work / "model"
        words = ["train", "unet-vocals-small", "--corpus", f"{BUCKET}/corpus", "--device", "cpu"]
        words += ["--steps", "2", "--output", str(model)]
        done = subprocess.run(
            [sys.executable, "-m", "stemlode", *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"train: {done.stderr.strip()}")
        put(model / "checkpoint", f"{BUCKET}/model")


def flow() -> dict[str, list[str]]:
    """Every Beam verb's command line, in an order in which each finds its inputs."""
    lines = {
        "scan": "scan @music --output @tracks",
        "match": "match --catalog @tracks --output @candidates --rule extended --engine beam",
        "prune": "prune --candidates @candidates --output @pairs --pairs-per-part 1",
        "corpus": "corpus --pairs @pairs --stems @stems --output @corpus --fingerprints off "
        "--chunk-seconds 3 --split train=0.8,valid=0.2,test=0",
        "pseudolabel": "pseudolabel --music @unlabelled --teacher @model --output @labelled "
        "--device cpu",
        "salience": "salience --corpus @corpus --output @salience",
        "perturb-songs": "perturb-songs --stems @stems --model @model --output @perturbed "
        "--iterations 2 --device cpu",
    }
    return {verb: line.replace("@", f"{BUCKET}/").split() for verb, line in lines.items()}


def put(folder: Path, address: str) -> None:
    """Copy a folder into the store."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            files.write_bytes(f"{address}/{path.relative_to(folder)}", path.read_bytes())


def _below(pid: int) -> Iterator[int]:
    """The processes that one has started, and those that they have."""
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                yield child
                yield from _below(child)


def _last(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
