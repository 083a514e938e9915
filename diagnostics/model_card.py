"""A model card's Markdown as HTML that is safe to show: no tag of its own, no style, no picture but the version's."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.utils.safestring import SafeString, mark_safe

if TYPE_CHECKING:
    from markdown_it.token import Token

DEEPEST_HEADING = 6
HEADING_SHIFT = 1  # the page's own headings come first


def render_card(markdown: str, figures: Mapping[str, str]) -> SafeString:
    """HTML of the card without its title; `figures` are the addresses of the pictures it may show, by file name.

    Tags in the card's text are escaped, and links that are no http, mailto or relative address stay text (markdown-it's own
    defaults); a picture that is not among `figures` becomes its description.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        tokens = tokens[3:]
    for token in tokens:
        _adapt(token, figures)
    return mark_safe(parser.renderer.render(tokens, parser.options, {}))  # noqa: S308 - made by the parser from escaped text


def _adapt(token: "Token", figures: Mapping[str, str]) -> None:
    if token.type in {"heading_open", "heading_close"}:
        token.tag = f"h{min(int(token.tag[1]) + HEADING_SHIFT, DEEPEST_HEADING)}"
    elif token.type in {"th_open", "td_open"} and token.attrGet("style"):
        # The page's policy allows no style attribute; the alignment of a column becomes a class
        alignment = str(token.attrs.pop("style"))
        token.attrSet("class", "numeric" if "right" in alignment else "")
    for child in token.children or []:
        if child.type == "image":
            _point_to_figure(child, figures)


def _point_to_figure(image: "Token", figures: Mapping[str, str]) -> None:
    address = figures.get(str(image.attrGet("src")))
    if address:
        image.attrSet("src", address)
        image.attrSet("loading", "lazy")
        return
    image.type, image.tag, image.children = "text", "", None
