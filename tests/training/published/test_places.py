"""Names of checkpoints: folders, registries with hashes, addresses that name their content."""

from pathlib import Path

import pytest

from stemlode import files, runs
from stemlode.addresses import pinned as addresses
from stemlode.runs import BadUsage, Failed
from tests.web import serving
from training import checkpoint
from training.finetuning import command as finetune
from training.loop import warm_start
from training.published import listed, places
from training.recipes.registry import RECIPES
from training.teachers import loading

OTHER = "0" * 64


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a registry's and a cache's places of its own."""
    for name in ("XDG_CONFIG_HOME", "STEMLODE_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("STEMLODE_MODELS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _hash(folder: Path) -> str:
    return files.sha256(str(folder / "model.safetensors"))


def test_a_name_of_a_registry_is_its_path_and_hash(at_home: Path, tiny_checkpoint: Path) -> None:
    sha256 = _hash(tiny_checkpoint)
    far = at_home / "XDG_CONFIG_HOME" / "stemlode"
    far.mkdir(parents=True)
    (far / "models.toml").write_text(f'[far]\npath = "{tiny_checkpoint}"\nsha256 = "{OTHER}"\n')
    (at_home / "link").symlink_to(tiny_checkpoint)
    (at_home / "models.toml").write_text(f'[near]\npath = "link"\nsha256 = "{sha256.upper()}"\n')
    assert places.pinned("near") == f"{at_home}/link#sha256={sha256}"
    found = checkpoint.load("near")
    assert (found.step, found.sha256, found.name) == (7, sha256, places.pinned("near"))
    with pytest.raises(Failed, match=rf"another file than was named: its SHA-256 is {sha256}"):
        checkpoint.load("far")
    with pytest.raises(BadUsage, match=r"--checkpoint nera: .* did you mean near\?"):
        checkpoint.load("nera")
    assert checkpoint.load(str(tiny_checkpoint / "model.safetensors")).sha256 == sha256
    (at_home / "near").mkdir()  # a folder of that name comes first
    with pytest.raises(BadUsage, match=r"near: holds no model\.safetensors"):
        checkpoint.load("near")


def test_an_address_is_fetched_once_and_checked_at_every_load(
    at_home: Path, tiny_checkpoint: Path
) -> None:
    sha256 = _hash(tiny_checkpoint)
    with serving(tiny_checkpoint) as web:
        (at_home / "models.toml").write_text(
            f'[far]\nurl = "{web.address}/model.safetensors"\nsha256 = "{sha256}"\n'
            f'[other]\nurl = "{web.address}/config.json.safetensors"\nsha256 = "{OTHER}"\n'
            f'[wrong]\nurl = "{web.address}/model.safetensors"\nsha256 = "{OTHER}"\n'
        )
        with pytest.raises(Failed, match=r"config\.json\.safetensors: cannot be fetched, and.*404"):
            checkpoint.load("other")
        with pytest.raises(Failed, match=f"another file than was named: its SHA-256 is {sha256}"):
            checkpoint.load("wrong")
        assert not files.list_files(str(at_home / "STEMLODE_CACHE"))
        assert checkpoint.load("far").step == 7
        (held,) = files.list_files(str(at_home / "STEMLODE_CACHE"))
        Path(held).write_bytes(b"lost")
        assert checkpoint.load("far").sha256 == sha256
    assert checkpoint.load("far").step == 7  # from the cache, the server is gone
    files.remove(held)
    with pytest.raises(Failed, match=r"cannot be fetched, and .*STEMLODE_CACHE does not hold it"):
        checkpoint.load("far")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('x = "y"', "is no table such as"),
        ("[x]", "needs either path or url"),
        ('[x]\npath = "a"\nurl = "https://b"', "needs either path or url"),
        ('[x]\npath = "a"', "needs sha256"),
        ('[x]\npath = "a"\nsha256 = "abc"', "needs sha256, 64 hex digits"),
        (f'[x]\npath = "https://a"\nsha256 = "{OTHER}"', "call it url"),
        (f'[x]\nurl = "a"\nsha256 = "{OTHER}"', "call it path"),
        ('[x]\npth = "a"', "pth is unknown"),
        ("[x\n", "no TOML"),
    ],
)
def test_an_entry_that_makes_no_sense_is_one_line(at_home: Path, entry: str, said: str) -> None:
    (at_home / "models.toml").write_text(entry)
    with pytest.raises(BadUsage, match=said) as caught:
        places.pinned("x")
    assert listed.FILE in str(caught.value) and "\n" not in str(caught.value)


def test_every_verb_takes_names(at_home: Path, tiny_checkpoint: Path) -> None:
    """Each through what its command line calls; their errors name their own option."""
    sha256 = _hash(tiny_checkpoint)
    (at_home / "models.toml").write_text(
        f'[tiny]\npath = "{tiny_checkpoint}"\nsha256 = "{sha256}"\n'
    )
    recipe = checkpoint.load("tiny").recipe
    assert warm_start.read("tiny", recipe).facts["sha256"] == sha256
    assert loading.load("tiny", "cpu").sha256 == sha256
    assert loading.pinned("tiny") == finetune.started("tiny").folder == places.pinned("tiny")
    for call, option in (
        (lambda: loading.load("tniy", "cpu"), "--teacher"),
        (lambda: loading.pinned("tniy"), "--teacher"),
        (lambda: warm_start.read("tniy", RECIPES["unet-vocals"]), "--from"),
        (lambda: finetune.started("tniy"), "CHECKPOINT"),
    ):
        with pytest.raises(BadUsage, match=rf"^{option} tniy: .*did you mean tiny"):
            call()


def test_what_is_known_by_its_content_is_the_same_input_wherever_it_lies() -> None:
    one, other = (addresses.with_hash(name, OTHER) for name in ("/here/a", "s3://b/c"))
    assert runs.fingerprint(one) == runs.fingerprint(other)
    at = [f"hf://a/b@{digit * 40}" for digit in "ab"]
    assert len({runs.fingerprint(name) for name in (one, *at)}) == 3
    assert addresses.content("hf://a/b@main") is None is addresses.content("/a@b")
