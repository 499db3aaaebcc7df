"""CSV: whatever a writer writes comes through; a quote that nobody closes costs its line alone."""

import csv
import io
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.catalogue.formats import csv_blocks
from pipelines.catalogue.formats.csv_blocks import blocks
from stemlode.runs import Failed

TEXTS = st.text('ab",\n\r\t é', max_size=6)


def split(text: str | bytes, block_bytes: int = 1 << 24, delimiter: str = ",") -> tuple[str, list]:
    data = text if isinstance(text, bytes) else text.encode()
    with mock.patch.object(csv_blocks, "BLOCK_BYTES", block_bytes):
        found = list(blocks("c.csv", io.BytesIO(data), delimiter))
    return b"".join(kept for kept, _ in found).decode(), [b for _, some in found for b in some]


@given(
    rows=st.lists(st.lists(TEXTS, min_size=1, max_size=4), max_size=8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    delimiter=st.sampled_from([",", "\t"]),
    block_bytes=st.integers(1, 40),
)
def test_what_a_writer_writes_stays_as_it_is(
    rows: list, quoting: int, ending: str, delimiter: str, block_bytes: int
) -> None:
    sink = io.StringIO()
    csv.writer(sink, quoting=quoting, lineterminator=ending, delimiter=delimiter).writerows(rows)
    text = sink.getvalue()
    assert split(text, block_bytes, delimiter) == (text, [])
    cut = text.rstrip("\r\n")  # the last line may lack its end
    assert split(cut, block_bytes, delimiter) == (cut, [])


@given(
    rows=st.lists(st.lists(st.text("abc é", min_size=1), min_size=3, max_size=3), max_size=9),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    place=st.integers(0, 9),
    stray=st.sampled_from(['7,"Heroes,x', '"7,Low,x', '7,"a"b,"c', '7,"say ""what,x']),
    block_bytes=st.integers(1, 60),
)
def test_an_open_quote_costs_its_line_alone(
    rows: list, quoting: int, place: int, stray: str, block_bytes: int
) -> None:
    sink = io.StringIO()
    csv.writer(sink, quoting=quoting, lineterminator="\n").writerows(rows)
    lines = sink.getvalue().splitlines(keepends=True)
    place = min(place, len(lines))
    kept, broken = split("".join([*lines[:place], stray + "\n", *lines[place:]]), block_bytes)
    assert kept == "".join(lines)
    assert broken == [(stray, csv_blocks.WHY.format(place + 1))]


@pytest.mark.parametrize(
    "line", ['1,12" mix,x', '1,"He"roes,x', '1,a "b" c,"d"', '1,"a,b"c,x', '""x,"",', "1,'a,b"]
)
def test_odd_quotes_inside_of_a_line_harm_nobody(line: str) -> None:
    assert split(f"{line}\n2,b,c\n") == (f"{line}\n2,b,c\n", [])


def test_each_of_many_open_quotes_is_named() -> None:
    text = "".join(f'{n},"open,x\n{n},"a\nb",x\n' for n in range(99))
    kept, broken = split(text, 50)
    assert kept == "".join(f'{n},"a\nb",x\n' for n in range(99))
    assert [why for _, why in broken] == [csv_blocks.WHY.format(3 * n + 1) for n in range(99)]


def test_a_record_may_be_long_but_not_endless() -> None:
    title = "x, " * 2_000 + '""' + "\n" * 5_000
    text = f'1,"{title}",y\n2,a,b\n'
    assert split(text, 100) == (text, [])
    lines = "x\n" * 600
    with mock.patch.object(csv_blocks, "MOST_BYTES", 1000):
        kept, broken = split(f'0,"{lines}2,a,b\n', 100)
        assert kept == lines[2:] + "2,a,b\n"
        assert broken == [('0,"x', csv_blocks.WHY.format(1))]
        with pytest.raises(Failed, match=r"c\.csv: line 2: longer than"):
            split("1,a\n" + "x" * 5_000, 100)
