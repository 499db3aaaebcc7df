"""Parts of sources: training reads what it needs, and gets what the whole sample would give."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemlode.shards import reading
from tests.training.conftest import RATE
from tests.training.data.test_mixing import _recipe
from training.data import windows
from training.data.corpus import Bad, Corpus, SplitSamples, Window, open_corpus
from training.data.mixing import Draws
from training.recipes import registry
from training.recipes.registry import RECIPES

CROPPING = registry.override(
    RECIPES["cws-unet5-k1"], {"sample_rate": RATE, "patch_seconds": 0.3, "batch_size": 1}
)


@pytest.fixture
def data(either: Path) -> Corpus:
    """Songs in chunks of 1 s."""
    return open_corpus(str(either))


def _of_before(data: Corpus) -> Corpus:
    """The corpus with an index of version 1."""
    kind = data.index.schema.field("members").type
    place = data.index.column_names.index("members")
    none = pa.nulls(len(data.index), kind)
    return dataclasses.replace(data, index=data.index.set_column(place, "members", none))


@pytest.mark.parametrize("rate", [RATE, pytest.param(22_050, marks=pytest.mark.slow)])
def test_draws_are_those_of_an_index_of_version_1(
    data: Corpus, rate: int, bytes_asked: list[int]
) -> None:
    """So a run that was begun with one goes on with the other bit by bit."""
    assert data.index["members"].null_count == 0
    recipe = _recipe(
        sample_rate=rate, others=("accompaniment",),
        batch_size=3, patch_seconds=0.3,
    )  # fmt: skip
    now, before = (Draws(corpus, recipe, seed=3) for corpus in (data, _of_before(data)))
    for number in range(4):
        bytes_asked.clear()
        found = now[number]
        if data.index["shard"][0].as_py().endswith(".tar"):  # two sources, some in two chunks
            assert 6 <= len(bytes_asked) <= 8
        wanted = before[number]
        assert found.sample_ids == wanted.sample_ids and not found.rejects
        assert torch.equal(found.waveforms, wanted.waveforms)
        assert torch.equal(found.gains, wanted.gains)


@pytest.mark.parametrize("patch_seconds", [0.3, 0.8, 1.2])
def test_patches_are_those_of_an_index_of_version_1(data: Corpus, patch_seconds: float) -> None:
    recipe = registry.override(CROPPING, {"patch_seconds": patch_seconds})
    now, before = (SplitSamples(c, "train", recipe, 5, True) for c in (data, _of_before(data)))
    assert len(now) == len(before) > 3
    for epoch in range(2):
        for number in range(len(now)):
            found, wanted = now[epoch, number, False], before[epoch, number, False]
            assert isinstance(found, Window) and isinstance(wanted, Window)
            assert dataclasses.replace(found, mixture=None, reference=None) == (
                dataclasses.replace(wanted, mixture=None, reference=None)
            )
            assert torch.equal(found.mixture, wanted.mixture)
            assert torch.equal(found.reference, wanted.reference)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), size=st.sampled_from([1, 300, 9000]),
       start=st.floats(0, 0.9))  # fmt: skip
def test_damage_is_rejected_as_before_or_was_not_read(
    data: Corpus, place: float, size: int, start: float
) -> None:
    """A piece is what was written, or is rejected in the same words as by an index of version 1."""
    row = data.index.to_pylist()[0]
    path = Path(data.folder, row["shard"])
    wanted = _piece(data, row, start)
    good = path.read_bytes()
    member = dict(row["members"])["vocals.flac"]
    at = member["offset"] + int(place * member["size"])
    noise = np.random.default_rng(size).bytes(min(size, member["size"]))
    try:
        path.write_bytes(good[:at] + noise + good[at + len(noise) :])
        found, before = _piece(data, row, start), _piece(data, {**row, "members": None}, start)
    finally:
        path.write_bytes(good)
    assert isinstance(wanted, torch.Tensor)
    if isinstance(found, str):
        assert found == before
    else:
        assert torch.equal(found, wanted)


def _piece(data: Corpus, row: dict[str, Any], start: float) -> torch.Tensor | str:
    try:
        return windows.read(data.folder, row, "vocals", start, (2, RATE // 4), RATE)
    except windows.UNREADABLE as error:
        return windows.fault("", error).reason


def _items(data: Corpus) -> list[Window | Bad]:
    reading._TABLES.clear()  # Parquet shards that were open before they were damaged
    samples = SplitSamples(data, "train", CROPPING, 5, True)
    return [samples[0, number, False] for number in range(len(samples))]


def test_a_shard_of_zeros_or_none_costs_the_same_rejects(data: Corpus) -> None:
    before = _of_before(data)
    path = Path(data.folder, data.of("train")["shard"][0].as_py())
    good = path.read_bytes()
    try:
        for bad in (bytes(len(good)), good[: len(good) // 2], None):
            path.unlink() if bad is None else path.write_bytes(bad)
            found, wanted = (_items(corpus) for corpus in (data, before))
            assert any(isinstance(item, Bad) for item in found)
            assert [item for item in found if isinstance(item, Bad)] == [
                item for item in wanted if isinstance(item, Bad)
            ]
    finally:
        path.write_bytes(good)
