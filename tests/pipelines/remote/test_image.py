"""The workers' image: what is in it is locked, and its steps make something that works."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.installed import PROJECT, Distributions
from tests.pipelines.remote.declared import required

WORKER = PROJECT / "worker"
DOCKERFILE = (WORKER / "Dockerfile").read_text()
PLAIN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
LOCKS = {
    "requirements.txt": ("pipelines", "gcs", "s3"),
    "requirements-nets.txt": ("pipelines", "gcs", "s3", "train", "pitch"),
    "requirements-build.txt": (),
}


def _locked(name: str) -> dict[str, str]:
    """Package → version."""
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", (WORKER / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_all_by_hash_and_names_no_index(name: str) -> None:
    text = (WORKER / name).read_text()
    entries = re.split(r"(?m)^(?=\w)", text)[1:]
    assert entries and all(entry.count("--hash=sha256:") for entry in entries)
    assert all("==" in entry.splitlines()[0] for entry in entries)
    assert "://" not in text and not re.search(r"^--|^-i|\bindex-url\b|find-links", text, re.M)


@pytest.mark.parametrize("name", [name for name, extras in LOCKS.items() if extras])
def test_a_lock_holds_what_the_extras_ask_for(name: str) -> None:
    locked = _locked(name)
    for line in required(*LOCKS[name]):
        wanted = Requirement(line)
        found = locked[wanted.name.lower().replace("_", "-")]
        assert wanted.specifier.contains(found), f"{line} and {found}: run make worker-lock"


def test_image_and_lock_have_one_beam_and_one_python() -> None:
    of_image = dict(re.findall(r"^ARG (\w+)=(\S+)", DOCKERFILE, re.MULTILINE))
    assert {_locked(name)["apache-beam"] for name in [*LOCKS][:2]} == {of_image["BEAM"]}
    assert f"--python-version {of_image['PYTHON']} " in (WORKER / "lock").read_text()
    assert _locked("requirements-nets.txt")["torch"] == "2.13.0"


def test_the_page_of_what_travels_is_that_of_the_lock() -> None:
    page = (PROJECT / "docs" / "packages.md").read_text()
    listed = dict(re.findall(r"^\| ([\w-]+) \| (\d[^ ]*) \| \S", page, re.MULTILINE))
    assert listed == _locked("requirements.txt"), "run `make worker-packages`"


def test_an_audit_that_could_not_look_fails() -> None:
    recipe = (PROJECT / "Makefile").read_text().partition("\naudit:")[2].partition("\n\n")[0]
    commands = [line for line in recipe.splitlines() if "pip-audit" in line]
    assert len(commands) == 2 and all("--strict" in line for line in commands)


def test_the_image_runs_without_rights() -> None:
    """But on Dataflow, where one cannot; and so say the commands of its page."""
    users = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert users == ["${RUN_AS}"] and "\nARG RUN_AS=stemlode\n" in DOCKERFILE
    page = (PROJECT / "docs" / "dataflow.md").read_text()
    built = [line for line in page.splitlines() if "make worker-image" in line]
    assert built and all("RUN_AS=root" in line for line in built)


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mmdebstrap"),
    reason="makes a root by mmdebstrap, which needs both it and root's rights",
)
def test_the_steps_of_the_dockerfile_in_a_root_of_their_own(
    distributions: Distributions, tmp_path: Path
) -> None:
    """COPY and RUN as they stand, in a bare Debian with the image's Python."""
    root = tmp_path / "root"
    packages = "--include=python3,python3-venv,passwd"
    suite = re.search(r"-slim-(\w+)", DOCKERFILE)[1]
    words = ["mmdebstrap", "--mode=root", "--variant=apt", packages, "--quiet", suite, root]
    sources = Path("/etc/apt/sources.list.d/debian.sources")  # this machine's mirror, where it says
    _run(*words, *([sources] if sources.exists() else []))
    environment = _network(root)
    for folder in ("worker", "dist"):
        shutil.copytree(
            WORKER if folder == "worker" else distributions.wheel.parent,
            root / "worker",
            dirs_exist_ok=True,
        )
    [step] = re.findall(r"^RUN (.*)$", DOCKERFILE, re.MULTILINE)
    step = step.replace("${REQUIREMENTS}", "requirements.txt")
    said = _run("chroot", root, *shlex.split(step), env=environment)
    assert f"apache-beam {_locked('requirements.txt')['apache-beam']}" in said
    shutil.rmtree(root / "worker")
    as_user = ("chroot", "--userspec=stemlode", root, "/opt/stemlode/bin/python", "-m", "stemlode")
    assert _run(*as_user, "--version", env=PLAIN).strip()
    scanned = _run(*as_user, "scan", "/tmp/music", "--output", "/tmp/x", env=PLAIN, status=2)
    assert "/tmp/music" in scanned
    assert _run("chroot", root, "id", "-u", "stemlode").strip() != "0"
    assert not (root / "opt/stemlode/bin/pip").exists()
    shutil.rmtree(root)


def _network(root: Path) -> dict[str, str]:
    """What pip needs of this machine to reach an index, carried into a root."""
    for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"):
        if Path(path).exists():
            (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / path[1:])
    held = _run(sys.executable, "-m", "pip", "config", "list")
    names = ("index-url", "extra-index-url", "trusted-host", "proxy", "cert", "timeout")
    found = dict(re.findall(r"^global\.([\w-]+)='(.*)'$", held, re.MULTILINE))
    kept = [f"{name} = {found[name]}" for name in names if name in found]
    kept = [line for line in kept if "file:" not in line]
    (root / "etc/pip.conf").write_text("\n".join(["[global]", *kept, ""]))
    carried = ("PIP_INDEX_URL", "PIP_CERT", "PIP_PROXY", "PIP_DEFAULT_TIMEOUT")
    carried += ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY")
    kept = {name: os.environ[name] for name in carried if name in os.environ}
    return {**PLAIN, **kept}


def _run(*words: str | Path, env: dict[str, str] | None = None, status: int = 0) -> str:
    done = subprocess.run(words, capture_output=True, text=True, env=env, check=False, timeout=900)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr
