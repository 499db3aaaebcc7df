"""How much of a corpus teaches a recipe, and what is said of the rest."""

import dataclasses
from pathlib import Path

from training.data import corpus, origins
from training.recipes.registry import RECIPES


def test_what_a_corpus_teaches_is_counted(corpus_folder: Path) -> None:
    data, recipe = corpus.open_corpus(str(corpus_folder)), RECIPES["unet-vocals"]
    (found,) = origins.of(data, recipe)
    total = len(data.of("train"))
    assert found["set"] == corpus_folder.name and found["samples"] == total
    assert sum(found["licences"].values()) == found["hours"] > 0
    assert origins.line(data, recipe) == f"learns from all {total} samples of the train split"
    sources = data.index["sources"].to_pylist()
    sources[:3] = [["vocals"]] * 3
    at = data.index.column_names.index("sources")
    index = data.index.set_column(at, "sources", [sources])
    less = dataclasses.replace(data, index=index)
    left = origins.unused(less, recipe)
    count = sum(map(len, left.values()))
    assert list(left) == ["hold vocals alone, without a mixture"] and 0 < count <= 3
    assert origins.line(less, recipe).startswith(f"learns from {total - count} of the {total} ")
    assert not origins.unused(less, RECIPES["bsrnn-vocals"])  # which mixes them
