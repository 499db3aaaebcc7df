"""The card beside a checkpoint says what its configuration knows, and that what it does not."""

import dataclasses
from pathlib import Path

from training import checkpoint
from training.published import card

SETS = [{"set": "folk | <b>", "samples": 3, "songs": 2, "hours": 0.5, "licences": {"CC BY": 0.5}}]


def test_a_checkpoint_comes_with_its_card(tiny_checkpoint: Path) -> None:
    shown = (tiny_checkpoint / "README.md").read_text()
    assert shown.startswith("---\nlibrary_name: stemlode\n")
    assert "# unet-vocals" in shown and "| valid\\_loss | 1.5" in shown
    assert "Unknown" in shown and "It began with random weights" in shown


def test_lineage_and_licences_come_down_from_parents(tiny_checkpoint: Path, tmp_path: Path) -> None:
    first = dataclasses.replace(checkpoint.load(str(tiny_checkpoint)), learnt_from=SETS)
    first = dataclasses.replace(first, name=f"hf://someone/vocals@{'a' * 40}")
    second = dataclasses.replace(
        first, learnt_from=[SETS[0] | {"licences": {"": 1.0, "CC BY": 0.25}}],
        parents=[first.descent("fine-tuned from it")], name="/secret/place/model",
    )  # fmt: skip
    third = dataclasses.replace(second, parents=[second.descent("its weights were begun with")])
    checkpoint.save(str(tmp_path), third)
    assert checkpoint.load(str(tmp_path)).parents == third.parents
    shown = (tmp_path / "README.md").read_text()
    assert "base_model" not in shown and "/secret" not in shown
    assert "a folder model: its weights were begun with" in shown
    assert f"  - unet-vocals, hf://someone/vocals@{'a' * 40}: fine-tuned from it" in shown
    assert "| CC BY | 1 |" in shown and "| not stated | 2 |" in shown
    assert "folk \\| &lt;b>" in shown
    checkpoint.save(str(tmp_path), second)
    assert '- "someone/vocals"' in (tmp_path / "README.md").read_text()


def test_hostile_configurations_give_a_card_still() -> None:
    config = {"recipe": {"name": "x\n# y"}, "learnt_from": [1, {"licences": 3}], "parents": [{}, 2]}
    assert "\n# y" not in card.text(config)
