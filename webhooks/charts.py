"""Charts as SVG elements of a page. Colours and fonts come from static/review.css, light and dark.

pygal writes scripts, a style sheet and style attributes, none of which our policy of content lets run: what it drew is
taken, and nothing else. Whoever does not see the chart has the table beside it, which holds the same numbers and links;
so the drawing is hidden from them, and its links from the keyboard.
"""

import sys
from collections.abc import Sequence

import pygal
from markupsafe import Markup
from pygal.etree import etree
from pygal.style import Style

# pygal leaves an import hook of Python 2's kind behind, at which Python warns with every import that follows.
sys.meta_path[:] = [it for it in sys.meta_path if type(it) is not getattr(pygal, "PluginImportFixer", None)]
NARROW, WIDE = 440, 880
ROW = 26  # height of one bar
LONGEST = 30  # characters of a name
MOST = 12  # bars
_LOOK = Style(
    font_family="sans-serif", label_font_size=11, major_label_font_size=11, value_font_size=11, legend_font_size=12
)
_DROPPED = {"style", "script", "desc", "title", "defs"}
_KEPT = {"class", "d", "x", "y", "rx", "ry", "width", "height", "transform", "viewBox", "r", "cx", "cy"}
_HREF = "{http://www.w3.org/1999/xlink}href"
Bar = tuple[str, float, str]  # name, value, address


def days(counts: Sequence[tuple[int, int, str]]) -> Markup:
    chart = pygal.Bar(**_options(WIDE, 170), show_y_labels=False, show_y_guides=False)
    chart.x_labels = [str(day) for day, _, _ in counts]
    chart.add("", [_value(count, address) if count else None for _, count, address in counts])
    return _svg(chart, "wide")


def bars(counts: Sequence[Bar]) -> Markup:
    """The first of them on top."""
    shown = list(counts)[:MOST][::-1]
    chart = pygal.HorizontalBar(**_lying(NARROW, 10 + ROW * len(shown)))
    chart.x_labels = [_short(name) for name, _, _ in shown]
    chart.add("", [_value(count, address) for _, count, address in shown])
    return _svg(chart)


def pairs(names: tuple[str, str], counts: Sequence[tuple[str, float, float, str]]) -> Markup:
    """Two bars for each: the first ones called `names[0]`."""
    shown = list(counts)[:MOST][::-1]
    options = {**_lying(NARROW, 50 + ROW * 3 // 2 * len(shown)), "show_legend": True, "legend_at_bottom": True}
    chart = pygal.HorizontalBar(**options)
    chart.x_labels = [_short(name) for name, *_ in shown]
    chart.add(names[0], [_value(first, address) for _, first, _, address in shown])
    chart.add(names[1], [_value(second, address) for _, _, second, address in shown])
    return _svg(chart)


def _options(width: int, height: int) -> dict[str, object]:
    return {
        "width": width,
        "height": height,
        "style": _LOOK,
        "show_legend": False,
        "margin": 6,
        "print_values": True,
        "print_values_position": "top",
        "print_zeroes": False,
        "explicit_size": False,
        "js": (),
        "css": (),
        "value_formatter": lambda value: f"{value:g}",
    }


def _lying(width: int, height: int) -> dict[str, object]:
    """Of bars that lie, pygal calls the axis of the names y."""
    return {**_options(width, height), "show_x_labels": False, "show_x_guides": False, "show_y_guides": False}


def _value(value: float, address: str) -> dict[str, object]:
    return {"value": value, "xlink": {"href": address, "target": "_self"}}


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _svg(chart: pygal.graph.graph.Graph, shape: str = "") -> Markup:
    root = chart.render_tree()
    _strip(root)
    root.set("class", f"pygal-chart {shape}".strip())
    root.set("aria-hidden", "true")
    root.set("focusable", "false")
    return Markup(etree.tostring(root, encoding="unicode"))  # noqa: S704  # a tree of ours: its texts are escaped


def _strip(node: object) -> None:
    for child in list(node):  # type: ignore[call-overload]
        if not isinstance(child.tag, str) or child.tag.rpartition("}")[2] in _DROPPED or _is_tooltip(child):
            node.remove(child)  # type: ignore[attr-defined]
        else:
            _strip(child)
    attributes = node.attrib  # type: ignore[attr-defined]
    address = attributes.get(_HREF)
    for name in set(attributes) - _KEPT:
        del attributes[name]
    if address is not None:
        attributes.update({"href": address, "tabindex": "-1"})


def _is_tooltip(node: object) -> bool:
    return "tooltip-overlay" in node.attrib.get("class", "")  # type: ignore[attr-defined]
