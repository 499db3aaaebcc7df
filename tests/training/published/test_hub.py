"""Models of a hub: a branch becomes a commit, which is fetched once and checked at every load."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from stemlode import files
from stemlode.runs import BadUsage, Failed
from tests.training.published.hub_server import Hub, serve
from training import checkpoint
from training.published import hub as client
from training.published import places

FIRST, SECOND = "a" * 40, "b" * 40
NAME = "hf://someone/vocals"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that this process asks, and an empty cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with serve() as (made, address):
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield made


def test_a_branch_is_pinned_to_its_commit_and_fetched_once(hub: Hub, tiny_checkpoint: Path) -> None:
    hub.publish("someone/vocals", tiny_checkpoint, FIRST, "main", "v1")
    found = checkpoint.load(f"{NAME}@v1")
    assert found.name == f"{NAME}@{FIRST}" == places.pinned(NAME)
    assert found.sha256 == files.sha256(str(tiny_checkpoint / "model.safetensors"))
    asked = len(hub.asked)
    assert checkpoint.load(f"{NAME}@{FIRST}").step == 7
    assert len(hub.asked) == asked  # a commit that the cache holds asks nobody


def test_a_folder_of_a_repository_is_a_model_too(hub: Hub, tiny_checkpoint: Path) -> None:
    hub.publish("someone/many", tiny_checkpoint.parent, FIRST, "main")
    name = f"hf://someone/many/{tiny_checkpoint.name}"
    assert places.pinned(name) == f"hf://someone/many@{FIRST}/{tiny_checkpoint.name}"
    assert checkpoint.load(places.pinned(name)).step == 7


def test_without_the_hub_the_cache_serves_and_says_so(
    hub: Hub, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: object
) -> None:
    hub.publish("someone/vocals", tiny_checkpoint, FIRST, "main")
    checkpoint.load(NAME)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert checkpoint.load(NAME).name == f"{NAME}@{FIRST}"
    said = capsys.readouterr().err  # type: ignore[attr-defined]
    assert said == f"{NAME}: the hub does not answer; taking {FIRST[:12]} of the cache\n"
    with pytest.raises(Failed, match=r"hf://someone/other: cannot be fetched, and the cache"):
        checkpoint.load("hf://someone/other")

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)  # which waits long
    with pytest.raises(Failed, match=rf"@{SECOND}: cannot be fetched, and the cache"):
        checkpoint.load(f"{NAME}@{SECOND}")


def test_what_the_cache_lost_is_fetched_again(hub: Hub, tiny_checkpoint: Path) -> None:
    hub.publish("someone/vocals", tiny_checkpoint, FIRST, "main")
    path = Path(client.weights(f"{NAME}@{FIRST}")).resolve()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert checkpoint.load(NAME).step == 7
    path.write_bytes(data)
    hub.spoils = True
    with pytest.raises(Failed, match=r"what came is not what its hash says"):
        checkpoint.load(NAME)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf://someone/nothing", "no such model, or a private one, which needs HF_TOKEN"),
        (f"{NAME}@v9", "the model has no such revision"),
        (f"{NAME}@{SECOND}", "the model has no such revision"),
        (f"{NAME}@main/deep", r"holds no model\.safetensors"),
        ("hf://someone", "is not hf://OWNER/NAME"),
        (f"{NAME}@main/../../up", "is not hf://OWNER/NAME"),
        (f"{NAME}@", "is not hf://OWNER/NAME"),
        ("hf://some--one/../x", "is not hf://OWNER/NAME"),
    ],
)
def test_what_is_no_model_is_one_line(
    hub: Hub, tiny_checkpoint: Path, name: str, said: str
) -> None:
    hub.publish("someone/vocals", tiny_checkpoint, FIRST, "main")
    with pytest.raises(BadUsage, match=said) as caught:
        checkpoint.load(name)
    assert name.partition("@")[0] in str(caught.value) and "\n" not in str(caught.value)
