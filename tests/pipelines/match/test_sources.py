"""Sources that users name give the same bytes by both engines of files, and counts that add up."""

from pathlib import Path

import pytest

from tests.pipelines.catalogue.sources.exported import SOURCES, TITLES
from tests.pipelines.match.test_alike import alike


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(
            name, marks=[] if name == "discogs" else pytest.mark.slow, id=name.split(":")[0]
        )
        for name in SOURCES
    ],
)
def test_both_engines_write_the_same(source: str, tmp_path: Path) -> None:
    path = SOURCES[source](tmp_path)
    (pair,) = alike(path, tmp_path / "out", f"--format={source}")
    assert (pair["mix"]["title"], pair["instrumental"]["title"]) == TITLES


@pytest.mark.slow
@pytest.mark.parametrize("source", ["spotify", "listenbrainz", "beets"])
def test_by_the_extended_rule(source: str, tmp_path: Path) -> None:
    path = SOURCES[source](tmp_path)
    (pair,) = alike(path, tmp_path / "out", f"--catalog-format={source}", "--rule=extended")
    assert (pair["mix"]["title"], pair["instrumental"]["title"]) == TITLES
