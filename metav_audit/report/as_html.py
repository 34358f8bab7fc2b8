"""report.html: the PDF's pages as one file of HTML, without a script and without anything from elsewhere."""

from __future__ import annotations

import base64
import importlib.resources
import re
from collections.abc import Mapping

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from metav_audit.report.document import Document
from metav_audit.report.figures import images_of
from metav_audit.report.layout import lay_out
from metav_audit.report.makers import makers
from metav_audit.report.model import EvidenceReport

_HASH = re.compile(r"[0-9a-f]{64}")
_BLANK = re.compile(r"_{4,}")


def render_html(report: EvidenceReport, images: Mapping[str, bytes] | None = None) -> bytes:
    """Write the report's pages, UTF-8; figures and inputs stand in it as data.

    Args:
        report: what is shown.
        images: ``images_of`` the report, where they are at hand.
    """
    return as_page(lay_out(report), images_of(report) if images is None else images)


def as_page(document: Document, images: Mapping[str, bytes]) -> bytes:
    """Write a document as a page.

    Args:
        document: what it says; all of it is escaped.
        images: the files that it names, by name, SVG or PNG.
    """
    # Autoescaping: text from outside is never markup, in an element as in an attribute.
    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["parts"] = _BLANK.split
    environment.tests["hash"] = lambda text: _HASH.fullmatch(text) is not None
    page = environment.get_template("page.html.jinja").render(
        page=document.to_json(),
        images={name: _data(name, content) for name, content in images.items()},
        style=Markup(_read("page.css")),  # noqa: S704 - our own file
        generator=", ".join(("metav-audit", *makers("matplotlib"))),
    )
    return page.encode()


def _data(name: str, content: bytes) -> str:
    if not name.endswith(".svg"):
        return f"data:image/png;base64,{base64.b64encode(content).decode()}"
    # A browser may lack the typesetter's font.
    content = content.replace(b"'Libertinus Serif'", b"'Libertinus Serif', Georgia, 'Times New Roman', serif")
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"


def _read(name: str) -> str:
    return importlib.resources.files("metav_audit.report").joinpath(name).read_text(encoding="utf-8")
