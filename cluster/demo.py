"""`make cluster-demo`: every Beam verb on a cluster, with the failures that a night has.

An S3 emulator, a job server and two worker pools, each on a host of its own (a network namespace)
and the workers in environments that hold our wheel and nothing of the launcher's. Every launcher is
killed once its job runs, and one worker in the middle of a verb. Nothing leaves this machine.

Other engines: `--job-endpoint HOST:PORT` of a job server that runs already, or the jar of one in
FLINK_JOB_SERVER_JAR or SPARK_JOB_SERVER_JAR, which is started here. Workers are pools (EXTERNAL),
or containers of our image (`--image`, DOCKER).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from cluster.conduct import flow, put
from cluster.hosts import Hosts, available
from pipelines.demo.music import SAMPLE_RATE, render_song

PROJECT = Path(__file__).resolve().parent.parent
JOBS, POOLS, BALANCED, STORE = 8099, 50000, 50001, 5000
EXTRAS = "pipelines,train,pitch,s3"
JARS = {
    "FLINK_JOB_SERVER_JAR": ["--flink-master", "[local]"],
    "SPARK_JOB_SERVER_JAR": ["--spark-master-url", "local[4]"],
}


_BUILT: list[Path] = []  # in this process: an older one may be of other sources


def main(argv: Sequence[str] | None = None) -> int:
    """Set up the cluster, conduct the verbs; the exit status."""
    options = _parser().parse_args(argv)
    work = Path(options.work or tempfile.mkdtemp(prefix="stemlode-cluster-")).absolute()
    work.mkdir(parents=True, exist_ok=True)
    apart = available() and not options.job_endpoint
    pools = [] if options.image else [f"worker{n + 1}" for n in range(options.workers)]
    why = "" if options.job_endpoint else " (namespaces need root)"
    where = "in network namespaces" if apart else f"on the loopback{why}"
    print(f"cluster: {len(pools)} workers {where}, logs in {work}", flush=True)
    music(work)
    pythons = [environment(work, name, options) for name in pools]
    started: list[subprocess.Popen[bytes]] = []
    with Hosts(["engine", "store", *pools], apart=apart) as hosts:
        try:
            store = f"http://{hosts.addresses['store']}:{STORE}"
            facts = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo"}
            facts |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": store}
            near = {**os.environ, **facts, "PYTHONPATH": str(PROJECT)}
            moto = f"from moto.server import main; main(['-H', '0.0.0.0', '-p', '{STORE}'])"
            started.append(_start(hosts, "store", [sys.executable, "-c", moto], near, work))
            ports = []
            for number, (name, python) in enumerate(zip(pools, pythons, strict=True)):
                ports.append(POOLS if apart else POOLS + 10 + number)
                pool = [str(python), "-m", "apache_beam.runners.worker.worker_pool_main"]
                pool.append(f"--service_port={ports[-1]}")
                far = {"PATH": f"{python.parent}:/usr/sbin:/usr/bin:/sbin:/bin", **facts}
                far |= {"HOME": str(work), "TMPDIR": str(work)}
                started.append(_start(hosts, name, pool, far, work))
            targets = [f"{hosts.addresses[n]}:{p}" for n, p in zip(pools, ports, strict=True)]
            balancer = [sys.executable, "-m", "cluster.balancer", str(BALANCED), *targets]
            if pools:
                started.append(_start(hosts, "engine", balancer, near, work, "balancer"))
            config = work / "cluster.json"
            config.write_text(
                json.dumps(
                    {
                        "endpoint": options.job_endpoint or f"localhost:{JOBS}",
                        "flags": flags(options),
                        "engine": [] if options.job_endpoint else engine_words(options.workers),
                        "pools": [process.pid for process in started[1 : 1 + len(pools)]],
                        "work": str(work),
                        "lost_in": options.lose_worker_in,
                        "verbs": options.verbs.split(","),
                    }
                )
            )
            conduct = [sys.executable, "-m", "cluster.demo", "--conduct", str(config)]
            conducting = _start(hosts, "engine", conduct, near, work, "conduct")
            started.append(conducting)
            _show(work / "conduct.log", conducting)
            return conducting.returncode
        finally:
            for process in started:
                _end(process)
            if not options.work:
                shutil.rmtree(work, ignore_errors=True)


def engine_words(workers: int) -> list[str]:
    """The command of the engine: a jar that the environment names, or Beam's own in Python."""
    for name, master in JARS.items():
        if jar := os.environ.get(name):
            java = ["java", "-jar", jar, *master, "--job-port", str(JOBS)]
            return [*java, "--artifact-port", "0", "--expansion-port", "0"]
    return [sys.executable, "-m", "cluster.engine", str(workers), "--port", str(JOBS)]


def flags(options: argparse.Namespace) -> list[str]:
    """How a verb reaches the engine, and the engine the workers."""
    found = ["--runner=PortableRunner"]
    found.append(f"--job_endpoint={options.job_endpoint or f'localhost:{JOBS}'}")
    if options.image:
        return [*found, "--environment_type=DOCKER", f"--environment_config={options.image}"]
    at = options.worker_endpoint or f"localhost:{BALANCED}"
    return [*found, "--environment_type=EXTERNAL", f"--environment_config={at}"]


def environment(work: Path, name: str, options: argparse.Namespace) -> Path:
    """The Python of a worker: an environment with the wheel and its extras alone."""
    folder, wheel = work / name, options.wheel
    python = folder / "bin" / "python"
    again = ["--no-deps", "--force-reinstall"]
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(python), "install"]
    pip.append("--no-compile")
    if python.exists():
        subprocess.run([*pip, *again, str(wheel or _built(work))], check=True)
        return python
    print(f"cluster: installing {name}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    first = next((path for path in sorted(work.glob("worker*/lib")) if path.parent != folder), None)
    if first is not None:  # the same files once more, as links
        shutil.rmtree(folder / "lib")
        subprocess.run(["cp", "--archive", "--link", first, folder / "lib"], check=True)
        subprocess.run([*pip, *again, str(wheel or _built(work))], check=True)
        return python
    lock = PROJECT / "worker" / "requirements.txt"
    build = PROJECT / "worker" / "requirements-build.txt"
    subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", build], check=True)
    locked = ["--no-deps", "--no-build-isolation", "--require-hashes", "-r", str(lock)]
    subprocess.run([*pip, *locked], check=True)
    further = ["torch==2.13.0"] if "train" in options.extras else []
    subprocess.run([*pip, f"{wheel or _built(work)}[{options.extras}]", *further], check=True)
    return python


def _built(work: Path) -> Path:
    """Our wheel, built in a copy: a build leaves traces."""
    copy = work / "source"
    if (made := [*(work / "dist").glob("*.whl")]) and _BUILT:
        return made[0]
    _BUILT.append(work)
    for folder in (copy, work / "dist"):
        shutil.rmtree(folder, ignore_errors=True)
    if not copy.exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=PROJECT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        for path in listed.stdout.split("\0"):
            if (PROJECT / path).is_file():
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(PROJECT / path, copy / path)
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(work / "dist"), str(copy)]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = (work / "dist").glob("*.whl")
    return wheel


def music(work: Path) -> None:
    """Three songs with their instrumentals, the stems of two others, and an unlabelled one."""
    if (work / "store").exists():
        return
    made = work / "making"
    for seed in range(6):
        stems = render_song(seed, 8)
        backing = np.sum([sound for name, sound in stems.items() if name != "vocals"], axis=0)
        if seed < 3:
            _write(made / f"music/Band - Song {seed}.flac", backing + stems["vocals"])
            _write(made / f"music/Band - Song {seed} (Inst.).flac", backing)
        elif seed < 5:
            for name, sound in (("vocals", stems["vocals"]), ("accompaniment", backing)):
                _write(made / f"stems/Song {seed}/{name}.flac", sound)
        else:
            _write(made / f"unlabelled/Band - Song {seed}.flac", backing + stems["vocals"])
    made.rename(work / "store")


def _write(path: Path, sound: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound.T / 2, SAMPLE_RATE)


def _start(
    hosts: Hosts, host: str, words: list[str], env: dict[str, str], work: Path, name: str = ""
) -> subprocess.Popen[bytes]:
    return hosts.start(host, words, env, (work / f"{name or host}.log").open("wb"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """A program and what it has started."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        return
    process.wait()


def _show(log: Path, process: subprocess.Popen[bytes]) -> None:
    """What a program says, as it says it, until it ends."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        while True:
            over = process.poll() is not None
            while text := lines.readline():
                print(text, end="", flush=True)
            if over:
                return
            time.sleep(0.2)


def _fill_store(config: Path) -> None:
    """A bucket with the music, once the store answers."""
    address = os.environ["AWS_ENDPOINT_URL"]
    # moto asks for no signature, but takes an S3 request by this header.
    head = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/s3/aws4_request"}
    asked = urllib.request.Request(f"{address}/bucket", method="PUT", headers=head)
    for _ in range(600):
        try:
            urllib.request.urlopen(asked, timeout=60).close()
            break
        except OSError:
            time.sleep(0.1)
    put(Path(json.loads(config.read_text())["work"]) / "store", "s3://bucket")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cluster.demo", description=__doc__)
    add = parser.add_argument
    add("--work", metavar="FOLDER", help="keep environments and logs here (default: nothing stays)")
    add("--workers", type=int, default=2, help="worker pools, each on a host of its own")
    add("--wheel", metavar="FILE", help="ours; built if not given")
    add("--extras", default=EXTRAS, help="of ours, that workers install beside the lock")
    add("--verbs", default=",".join(flow()), help="which of them, with commas between")
    add("--lose-worker-in", metavar="VERB", default="corpus", help="kill a worker in this verb")
    add("--job-endpoint", metavar="HOST:PORT", help="a job server that runs already")
    add("--worker-endpoint", metavar="HOST:PORT", help="worker pools, as that job server sees them")
    add("--image", help="workers are containers of this image, which the engine starts")
    add("--conduct", metavar="FILE", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    given = _parser().parse_args()
    if given.conduct:
        from cluster import conduct

        _fill_store(Path(given.conduct))
        sys.exit(conduct.main(given.conduct))
    sys.exit(main())
