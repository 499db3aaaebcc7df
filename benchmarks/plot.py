"""How time grows with size, as an SVG with logarithmic axes, beside what is allowed."""

import math
from collections.abc import Sequence

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 320, 60, 530, 30, 270
ALLOWED = 1.05  # time may grow no faster than rows to this power
STYLE = (
    "text{font:13px ui-sans-serif,system-ui,sans-serif;fill:#6c665b}"
    ".rule{stroke:#e2dccf}.allowed{fill:none;stroke:#918b80;stroke-dasharray:5 4}"
    ".line{fill:none;stroke:#a8740c;stroke-width:2.5}.dot{fill:#a8740c}"
)


def growth_plot(rows: Sequence[int], seconds: Sequence[float], growth: float) -> str:
    """Processor seconds over rows, and rows^1.05 through the first point."""
    allowed = [seconds[0] * (n / rows[0]) ** ALLOWED for n in rows]
    low_x, high_x = math.log(rows[0]), math.log(rows[-1])
    low_y, high_y = math.log(min(seconds) / 1.4), math.log(max(*seconds, *allowed) * 1.2)

    def at(n: float, s: float) -> tuple[float, float]:
        x = LEFT + (RIGHT - LEFT) * (math.log(n) - low_x) / (high_x - low_x)
        return x, BOTTOM - (BOTTOM - TOP) * (math.log(s) - low_y) / (high_y - low_y)

    def points(values: Sequence[float]) -> str:
        return " ".join(
            f"{x:.1f},{y:.1f}" for x, y in (at(n, s) for n, s in zip(rows, values, strict=True))
        )

    marks = ""
    for n, s in zip(rows, seconds, strict=True):
        x, y = at(n, s)
        marks += (
            f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BOTTOM}"/>'
            f'<text x="{x:.1f}" y="{BOTTOM + 20}" text-anchor="middle">{n / 1e6:g} M</text>'
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
            f'<text x="{x:.1f}" y="{y + 20:.1f}" text-anchor="middle">{s:.1f} s</text>'
        )
    end_x, end_y = at(rows[-1], allowed[-1])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f"<title>Processor time of match grows as rows^{growth:.2f}</title>"
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#fffdf9"/>{marks}'
        f'<polyline class="allowed" points="{points(allowed)}"/>'
        f'<polyline class="line" points="{points(seconds)}"/>'
        f'<text x="{end_x:.1f}" y="{end_y - 8:.1f}" text-anchor="end">rows^{ALLOWED}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 8}">processor time of match over rows, both logarithmic: '
        f"rows^{growth:.2f}</text></svg>\n"
    )
