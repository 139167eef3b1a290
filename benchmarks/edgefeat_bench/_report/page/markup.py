"""HTML and SVG as elements, so that no name or reason from a result file can become markup."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, tostring

__all__ = ["Attributes", "Child", "document", "picture", "tag"]

Attributes = Mapping[str, "str | float | None"]
Child = Element | str | None


def tag(name: str, attributes: Attributes, *children: Child) -> Element:
    """An element; attributes and children that are None are left out, numbers get at most two places."""
    element = Element(name, {key: _text(value) for key, value in attributes.items() if value is not None})
    last: Element | None = None
    for child in children:
        if isinstance(child, str) and last is None:
            element.text = (element.text or "") + child
        elif isinstance(child, str):
            assert last is not None
            last.tail = (last.tail or "") + child
        elif child is not None:
            element.append(child)
            last = child
    return element


def _text(value: str | float | None) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def document(root: Element) -> str:
    """An HTML page."""
    return "<!DOCTYPE html>\n" + tostring(root, encoding="unicode", method="html") + "\n"


def picture(svg: Element, style: str) -> str:
    """An SVG file of its own, with the style inside."""
    alone = Element(svg.tag, {"xmlns": "http://www.w3.org/2000/svg", **svg.attrib})
    SubElement(alone, "style").text = style
    alone.extend(list(svg))
    return tostring(alone, encoding="unicode") + "\n"
