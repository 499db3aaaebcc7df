"""What a run of prune counts of its pairs."""

import pytest
from apache_beam.pvalue import TaggedOutput

from pipelines.prune import output


@pytest.mark.parametrize(
    ("decision", "share", "seconds"),
    [("kept", 1.0, 200.0), ("partly", 0.25, 50.0), ("too_different", 1.0, None)],
)
def test_pairs_and_hours_that_were_mended_are_counted_by_repair(
    decision: str, share: float, seconds: float | None
) -> None:
    row = {"decision": decision, "repaired": "speed+parts", "matched_share": share}
    found = [one for one in output.outputs(row, 200.0) if isinstance(one, TaggedOutput)]
    counts = [one.value for one in found if one.value[0].startswith("repaired")]
    lengths = [one.value for one in found if one.value[0].startswith("hours_repaired")]
    names = ["speed", "parts"] if seconds else []
    assert counts == [(f"repaired_{name}", 1) for name in names]
    assert lengths == [(f"hours_repaired_{name}", seconds) for name in names]
