"""A cluster of real processes on one machine, and what other engines are asked for."""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cluster import demo, hosts
from cluster.conduct import flow
from pipelines import templates
from tests.installed import PROJECT, Distributions

MANIFESTS = PROJECT / "cluster" / "kubernetes"


def _options(*words: str) -> argparse.Namespace:
    return demo._parser().parse_args(words)


def test_the_demo_runs_every_beam_verb() -> None:
    assert (*flow(),) == templates.PIPELINES


def test_engines_by_jar_endpoint_and_image(monkeypatch: pytest.MonkeyPatch) -> None:
    assert demo.engine_words(2)[1:4] == ["-m", "cluster.engine", "2"]
    for name, master in (("SPARK", "--spark-master-url"), ("FLINK", "--flink-master")):
        monkeypatch.setenv(f"{name}_JOB_SERVER_JAR", "/jars/server.jar")
        words = demo.engine_words(2)
        assert words[:3] == ["java", "-jar", "/jars/server.jar"] and master in words
        assert words[words.index("--job-port") + 1] == "8099"
        monkeypatch.delenv(f"{name}_JOB_SERVER_JAR")
    found = demo.flags(_options("--job-endpoint=e:1", "--image=registry/worker:1"))
    assert found[1:] == [
        "--job_endpoint=e:1",
        "--environment_type=DOCKER",
        "--environment_config=registry/worker:1",
    ]
    pools = demo.flags(_options("--job-endpoint=e:1", "--worker-endpoint=w:2"))
    assert pools[2:] == ["--environment_type=EXTERNAL", "--environment_config=w:2"]


def test_manifests_name_one_image_and_a_verb_that_parses() -> None:
    found = [one for path in MANIFESTS.iterdir() for one in yaml.safe_load_all(path.read_text())]
    containers = [
        container
        for one in found
        if "template" in one.get("spec", {})
        for container in one["spec"]["template"]["spec"]["containers"]
    ]
    ours = [c for c in containers if "stemlode" in c["image"]]
    assert {c["image"] for c in ours} == {"REGISTRY/stemlode-worker:0.1.0"} and len(ours) == 2
    [launcher] = [c for c in ours if "command" in c]
    verb = templates.verb_of(launcher["command"][1])
    options = [word for word in launcher["args"] if "s3://" not in word]
    verb.parse(["--candidates=c", "--output=o", *options])
    beam = re.search(
        r"^apache-beam==(\S+)", (PROJECT / "worker/requirements.txt").read_text(), re.M
    )
    assert any(c["image"].endswith(f"job_server:{beam[1]}") for c in containers)


@pytest.mark.slow
@pytest.mark.skipif(
    not (hosts.available() and shutil.which("ip")), reason="makes hosts, which needs root and ip"
)
def test_verbs_on_a_cluster_whose_launchers_and_a_worker_are_killed(
    distributions: Distributions, tmp_path: Path
) -> None:
    """Two workers on hosts of their own, from the lock and the wheel; the rest of the seven verbs
    are run by `make cluster-demo`."""
    words = [sys.executable, "-m", "cluster.demo", "--work", str(tmp_path / "work")]
    words += ["--wheel", str(distributions.wheel), "--verbs", "scan,match,corpus"]
    words += ["--extras", "pipelines,s3"]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=900, cwd=PROJECT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert "cluster: 2 workers in network namespaces" in said[0]
    for verb in ("scan", "match", "corpus"):
        assert any(re.match(rf"{verb}: done in .*launcher killed", line) for line in said), said
    lost = next(line for line in said if "a worker killed" in line)
    assert "the job failed; the same command resumed" in lost or "gave its work to others" in lost
    assert "corpus: the same bytes as an undisturbed run on one machine" in said
