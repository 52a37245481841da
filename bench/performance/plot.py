"""Bars as SVG: one row for each thing, of one value or of several that follow each other."""

from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 840, 250, 90
ROW, BAR, TOP = 30, 18, 44
COLOURS = ("#2563eb", "#0891b2", "#059669", "#65a30d", "#ca8a04", "#ea580c", "#dc2626", "#db2777", "#9333ea", "#64748b")
FONT = 'font-family="system-ui, sans-serif" font-size="13"'


def text(x, y, words, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT} fill="#1f2937" {more}>{escape(words)}</text>'


def bar(x, y, width, colour):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{BAR}" fill="{colour}"/>'


def bars(title, rows, unit, legend=(), goal=None):
    """`rows` are (name, values); values of one row lie behind each other, coloured as `legend` names them. `goal` is (name, value)."""
    most = max([sum(values) for _, values in rows] + ([goal[1]] if goal else []))
    scale = (WIDTH - LEFT - RIGHT) / most
    parts = [text(12, 24, title, more='font-weight="600"')]
    for index, (name, values) in enumerate(rows):
        y, x = TOP + index * ROW, LEFT
        parts.append(text(LEFT - 10, y + BAR - 4, name, "end"))
        for value, colour in zip(values, COLOURS):
            parts.append(bar(x, y, value * scale, colour))
            x += value * scale
        parts.append(text(x + 6, y + BAR - 4, f"{sum(values):.4g} {unit}"))
    bottom = TOP + len(rows) * ROW
    if goal:
        x = LEFT + goal[1] * scale
        parts.append(f'<path d="M{x:.1f} {TOP - 6}V{bottom}" stroke="#1f2937" stroke-dasharray="4 3"/>')
        parts.append(text(x, bottom + 12, goal[0], "middle"))
        bottom += 20
    for index, name in enumerate(legend):
        x, y = 12 + index % 4 * 185, bottom + 8 + index // 4 * 22
        parts += [bar(x, y, BAR, COLOURS[index]), text(x + BAR + 6, y + BAR - 4, name)]
    height = bottom + 12 + -(-len(legend) // 4) * 22
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )
