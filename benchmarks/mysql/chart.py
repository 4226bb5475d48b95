"""Panels of horizontal bars as SVG; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

WIDTH, LABELS, BAR, HEAD, GAP = 440, 190, 18, 30, 14
OURS, THEIRS = "#0b6e4f", "#9aa5b1"


def draw(panels: Mapping[tuple[str, str], Mapping[str, float]]) -> str:
    """An SVG document: a column a server, a row for each thing that was read; one scale a row.

    Args:
        panels: By server and what was read, rows/s by reader; ours are those that begin with `ours`.
    """
    servers, whats = ([*dict.fromkeys(names)] for names in zip(*panels, strict=True))
    parts: list[str] = []
    top = 0.0
    for what in whats:
        scale = max(max(panels[server, what].values()) for server in servers)
        for column, server in enumerate(servers):
            parts.extend(_panel(f"{server}: {what}", panels[server, what], scale, column * (WIDTH + GAP), top))
        top += HEAD + BAR * max(len(panels[server, what]) for server in servers) + GAP
    width = len(servers) * (WIDTH + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top:.0f}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(title: str, bars: Mapping[str, float], scale: float, left: float, top: float) -> Iterator[str]:
    yield f'<text x="{left + 8:.0f}" y="{top + 20:.0f}" font-weight="bold">{escape(title)}, rows/s</text>'
    for number, (name, value) in enumerate(bars.items()):
        y = top + HEAD + number * BAR
        length = value / scale * (WIDTH - LABELS - 70)
        colour = OURS if name.startswith("ours") else THEIRS
        yield f'<text x="{left + LABELS - 6:.0f}" y="{y + 12:.0f}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect x="{left + LABELS:.0f}" y="{y + 2:.0f}" width="{length:.1f}" height="{BAR - 4}" fill="{colour}"/>'
        yield f'<text x="{left + LABELS + length + 5:.0f}" y="{y + 12:.0f}">{value:,.0f}</text>'
