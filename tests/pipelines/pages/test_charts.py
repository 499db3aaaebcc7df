"""The charts' geometry: everything is drawn once, inside its frame, in proportion."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pages import text
from pipelines.pages.charts import curves, dots, histogram, nice_ticks, short
from pipelines.report.flow import LEAST_HEIGHT, FlowSegment, Stage, flow

numbers = st.floats(-1e9, 1e9)


@given(low=numbers, share=st.floats(1e-3, 1e6))
def test_ticks_are_round_and_inside(low: float, share: float) -> None:
    span = share * max(abs(low), 1e-3)
    ticks = nice_ticks(low, low + span)
    margin = span * 1e-6
    assert 2 <= len(ticks) <= 12
    assert all(low - margin <= tick <= low + span + margin for tick in ticks)


def test_ticks_of_well_known_axes() -> None:
    assert nice_ticks(0, 1.2, 6) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
    assert nice_ticks(-6, 14, 6) == [-5, 0, 5, 10]
    assert [short(n) for n in (0, 900, 2500, 1_200_000, -5)] == ["0", "900", "2.5k", "1.2M", "−5"]


@given(
    st.lists(st.one_of(st.floats(0, 3), st.just(math.nan), st.just(math.inf)), max_size=60),
    st.lists(st.floats(0, 3), max_size=60),
)
def test_a_histogram_counts_every_finite_value_once(one: list[float], two: list[float]) -> None:
    chart = histogram({"kept": np.array(one), "other": np.array(two)}, {"max": 0.8})
    finite = [value for value in [*one, *two] if math.isfinite(value)]
    if chart is None:
        assert not finite
        return
    assert chart.counted == len(finite)
    assert sum(int(box.label.rsplit(": ", 1)[1]) for box in chart.boxes) == len(finite)
    assert chart.beyond == sum(value > chart.limit for value in finite)
    for box in chart.boxes:
        assert chart.left <= box.x and box.x + box.width <= chart.right
        assert box.y >= 0 and box.y + box.height <= chart.bottom + 1e-6
    (mark,) = chart.marks
    assert chart.left < mark.at <= chart.right


def test_bars_of_a_histogram_do_not_overlap() -> None:
    rng = np.random.default_rng(1)
    chart = histogram({k: rng.uniform(0, 1, 200) for k in ("kept", "swapped")}, {})
    assert chart is not None
    columns: dict[float, float] = {}
    for box in chart.boxes:
        top = columns.get(box.x, chart.bottom)
        assert box.y + box.height == pytest.approx(top)
        columns[box.x] = box.y


@given(
    st.lists(st.integers(0, 10**7), min_size=1, max_size=9),
    st.lists(st.integers(0, 10**7), min_size=1, max_size=5),
)
def test_a_flow_shows_every_segment_with_room_for_its_label(one: list[int], two: list[int]) -> None:
    stages = [
        Stage("tracks", [FlowSegment("paired", str(i), n) for i, n in enumerate(one) if n]),
        Stage("pairs", [FlowSegment("kept", str(i), n) for i, n in enumerate(two) if n]),
    ]
    chart = flow(stages)
    if chart is None:
        assert not (sum(one) and sum(two))
        return
    assert [bar.value for bar in chart.bars] == [n for n in [*one, *two] if n]
    assert [heading.total for heading in chart.headings] == [sum(one), sum(two)]
    for bar in chart.bars:
        assert bar.box.height >= LEAST_HEIGHT - 0.01
        assert bar.box.y >= 0 and bar.box.y + bar.box.height <= chart.height
    assert len(chart.ribbons) == sum(n > 0 for n in two)


def test_heights_are_in_proportion_where_there_is_room() -> None:
    chart = flow(
        [
            Stage("tracks", [FlowSegment("paired", "a", 300), FlowSegment("unpaired", "b", 600)]),
            Stage("pairs", [FlowSegment("kept", "c", 1)]),
        ]
    )
    assert chart is not None
    one, two, _ = (bar.box.height for bar in chart.bars)
    assert two == pytest.approx(2 * one, rel=0.01)


def test_only_what_goes_on_arrives() -> None:
    chart = flow(
        [
            Stage(
                "a", [FlowSegment("kept", "on", 5), FlowSegment("other", "out", 5, goes_on=False)]
            ),
            Stage(
                "b", [FlowSegment("kept", "in", 5), FlowSegment("other", "new", 5, arrives=False)]
            ),
        ]
    )
    assert chart is not None
    (ribbon,) = chart.ribbons
    on, _, arrived, _ = (bar.box for bar in chart.bars)
    assert ribbon.path.startswith(f"M{on.x + on.width:.1f},{on.y:.1f} ")
    assert f"{arrived.x:.1f},{arrived.y:.1f} L" in ribbon.path


def test_curves_keep_their_ends_and_mark_the_step() -> None:
    lines = {"train": [(float(i), 1000.0 / i) for i in range(1, 5001)], "valid": [(2500.0, 5.0)]}
    chart = curves(lines, mark=2500.0)
    assert chart is not None and chart.logarithmic
    train, valid = (curve.points.split() for curve in chart.curves)
    assert len(train) <= 300 and len(valid) == 1
    assert float(train[-1].split(",")[0]) == pytest.approx(chart.right)
    assert chart.mark == tuple(map(float, valid[0].split(",")))


@given(st.lists(st.tuples(st.integers(0, 10**6), numbers), min_size=1, max_size=40))
def test_curves_stay_inside_their_frame(points: list[tuple[int, float]]) -> None:
    chart = curves({"train": sorted((float(x), y) for x, y in points)})
    assert chart is not None
    for point in chart.curves[0].points.split():
        x, y = map(float, point.split(","))
        assert chart.left - 0.01 <= x <= chart.right + 0.01
        assert -0.01 <= y <= chart.bottom + 0.01


def test_dots_lie_in_the_order_of_their_values() -> None:
    chart = dots([("song", {"mixture": -3.0, "estimate": 4.0, "oracle": 11.0}), ("silent", {})])
    assert chart is not None
    (row,) = chart.rows
    places = [dot.x for dot in row.dots]
    assert places == sorted(places)
    assert (places[1] - places[0]) / (places[2] - places[1]) == pytest.approx(1, abs=0.01)
    assert chart.zero is not None and places[0] < chart.zero < places[1]
    assert row.dots[0].label == "mixture: −3.00 dB"


def test_nothing_to_draw_is_no_chart() -> None:
    assert histogram({"kept": np.array([math.nan])}, {"max": 1.0}) is None
    assert curves({"train": []}) is None
    assert dots([("song", {})]) is None
    assert flow([Stage("tracks", [FlowSegment("paired", "a", 3)])]) is None


def test_an_oracle_that_all_but_equals_the_truth_leaves_the_others_room() -> None:
    """What lies beyond 60 dB stands at the end of the axis, with its number."""
    chart = dots([("song", {"mixture": -3.0, "estimate": 4.0, "oracle": 138.2})])
    assert chart is not None
    mixture, estimate, oracle = (dot.x for dot in chart.rows[0].dots)
    assert estimate - mixture > (chart.right - chart.left) / 3 and oracle <= chart.right
    assert [dot.beyond for dot in chart.rows[0].dots] == ["", "", "138 dB"]
    assert chart.rows[0].dots[2].label == "oracle: 138.20 dB"
    assert max(float(tick.label.replace("−", "-")) for tick in chart.x_ticks) <= 63


@given(st.floats(0.01, 2.5), st.floats(0.01, 2.5))
def test_no_bar_crosses_a_threshold(low: float, high: float) -> None:
    low, high = sorted((low, high))
    values = np.concatenate([np.linspace(0, 3, 50), [low - 1e-6, low, high - 1e-6, high]])
    kept = (values >= low) & (values < high)
    chart = histogram({"kept": values[kept], "other": values[~kept]}, {"min": low, "max": high})
    assert chart is not None
    left, right = (mark.at for mark in chart.marks)
    for box in chart.boxes:
        if box.kind == "kept":
            assert left - 0.01 <= box.x and box.x + box.width <= right + 0.01
        else:
            assert box.x + box.width <= left + 0.01 or box.x >= right - 0.01


def test_a_share_is_rounded_to_all_or_nothing_only_where_it_is() -> None:
    shares = (0.0, 1e-6, 0.5, 1 - 1e-6, 3 * 0.1 + 0.7 - 1e-16, 1.0)
    shown = ["0.0 %", "< 0.1 %", "50.0 %", "> 99.9 %", "100.0 %", "100.0 %"]
    assert [text.percent(share) for share in shares] == shown
