"""What a match would find, without writing anything. Free of Beam."""

from dataclasses import dataclass

from matching.rules import Rule
from pipelines.aliases import Aliases
from pipelines.catalogue import Catalogue


@dataclass(frozen=True)
class Estimate:
    candidates: float


def expected(
    catalogue: Catalogue, rule: Rule, most_per_key: int, aliases: Aliases | None = None
) -> Estimate:
    raise NotImplementedError


def lines(estimate: Estimate) -> list[str]:
    return [f"{estimate.candidates:,.0f} candidates"]
