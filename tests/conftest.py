"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from stemlode import files
from tests.bigquery_server import bigquery_client  # noqa: F401 (a fixture)
from tests.installed import distributions, install  # noqa: F401 (fixtures)
from tests.stores import gs, s3, store  # noqa: F401 (fixtures)

PROJECT = Path(__file__).resolve().parent.parent
settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real catalogues and audio, kept outside the project; STEMLODE_TEST_DATA says where."""
    folder = Path(os.environ.get("STEMLODE_TEST_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        missing = f"no test data at {folder} (set STEMLODE_TEST_DATA)"
        if os.environ.get("STEMLODE_TEST_DATA_REQUIRED"):
            pytest.fail(missing)
        pytest.skip(missing)
    return folder


@pytest.fixture
def bytes_asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each range that is read."""
    found: list[int] = []
    read_range = files.read_range

    def counted(path: str, start: int, count: int) -> bytes:
        found.append(count)
        return read_range(path, start, count)

    monkeypatch.setattr(files, "read_range", counted)
    return found
