"""A plot of curves over time as one SVG document, with nothing but text.

Imports the standard library only.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, PANEL, LEFT, RIGHT, TOP, BOTTOM = 900, 130, 70, 20, 28, 24
_STEPS = (1, 2, 2.5, 5, 10)


class Curve(NamedTuple):
    """A panel of the plot: its title with the unit, and a value for each time; None where there was none."""

    title: str
    values: Sequence[float | None]


def drawn(title: str, minutes: Sequence[float], curves: Sequence[Curve]) -> str:
    """The curves under each other, each from zero, over minutes."""
    height = TOP + len(curves) * PANEL + BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        '  font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="16" font-size="13" font-weight="bold">{escape(title)}</text>',
    ]
    last = max(minutes, default=1.0) or 1.0
    for place, curve in enumerate(curves):
        lines += _panel(curve, minutes, last, TOP + place * PANEL)
    lines.append(f'<text x="{LEFT}" y="{height - 8}">0</text>')
    lines.append(f'<text x="{WIDTH - RIGHT}" y="{height - 8}" text-anchor="end">{last:.1f} minutes</text>')
    return "\n".join([*lines, "</svg>", ""])


def _panel(curve: Curve, minutes: Sequence[float], last: float, top: int) -> list[str]:
    most = _round_up(max((value for value in curve.values if value is not None), default=1.0))
    low, high = top + PANEL - 18, top + 18
    points = " ".join(
        f"{LEFT + (WIDTH - LEFT - RIGHT) * at / last:.1f},{low - (low - high) * value / most:.1f}"
        for at, value in zip(minutes, curve.values, strict=True)
        if value is not None
    )
    return [
        f'<text x="{LEFT}" y="{top + 12}">{escape(curve.title)}</text>',
        f'<line x1="{LEFT}" y1="{low}" x2="{WIDTH - RIGHT}" y2="{low}" stroke="#999"/>',
        f'<line x1="{LEFT}" y1="{high}" x2="{WIDTH - RIGHT}" y2="{high}" stroke="#ddd"/>',
        f'<text x="{LEFT - 6}" y="{low + 4}" text-anchor="end">0</text>',
        f'<text x="{LEFT - 6}" y="{high + 4}" text-anchor="end">{most:g}</text>',
        f'<polyline fill="none" stroke="#1f5fa8" stroke-width="1.5" points="{points}"/>',
    ]


def _round_up(value: float) -> float:
    """The next round number, for the top of a scale."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.1
    return next((step * unit for step in _STEPS if value <= step * unit), value)
