"""Row hashes: equal for equal rows wherever they lie, spread well, never for exactness alone."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from matching.row_hashes import BLOCK_ROWS, row_hashes


@given(st.lists(st.text(), min_size=1), st.lists(st.text()))
def test_a_row_s_number_does_not_depend_on_its_place(rows: list[str], before: list[str]) -> None:
    alone = [row_hashes(pa.array([row]))[0] for row in rows]
    assert row_hashes(pa.array(before + rows))[len(before) :].tolist() == alone
    assert row_hashes(pa.array(before + rows, pa.large_string())[len(before) :]).tolist() == alone


KNOWN = [0, 3247962428609362944, 10690185061561483544, 13996921218920835688]


def test_known_numbers_stay_what_they_are() -> None:
    """Runs on other machines and releases must meet in the same bucket."""
    rows = row_hashes(pa.array(["", "a", "ab", "Ünï"]), pa.array(["", "", "c", "d"]))
    assert rows.tolist() == KNOWN


def test_columns_do_not_run_into_each_other() -> None:
    left = row_hashes(pa.array(["ab", "a", "", "abc"]), pa.array(["c", "bc", "abc", ""]))
    assert len(set(left.tolist())) == 4


def test_texts_differ_in_what_is_easily_lost() -> None:
    rows = ["", "\0", "\0\0", "a", "a\0", "\0a", "aa", "ba", "ab"]
    assert len(set(row_hashes(pa.array(rows)).tolist())) == len(rows)


def test_real_ids_and_titles_spread_evenly(test_data: Path) -> None:
    table = pq.read_table(test_data / "catalogs" / "playlists.parquet").combine_chunks()
    assert len(table) > BLOCK_ROWS
    for name in ("track_id", "title"):
        column = table[name].combine_chunks()
        numbers = row_hashes(column)
        assert len(np.unique(numbers)) == len(column.unique())
        counts = np.bincount(np.unique(numbers) >> np.uint64(58), minlength=64)
        low = np.bincount(np.unique(numbers) & np.uint64(63), minlength=64)
        for spread in (counts, low):
            expected = spread.mean()
            assert (abs(spread - expected) < 6 * np.sqrt(expected)).all()
