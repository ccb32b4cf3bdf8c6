"""Equations as MathML, which browsers show by themselves: no script, and nothing to be fetched from the internet."""

import html
import re

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content, page, config, files):
    """Put MathML in place of the LaTeX that the Markdown extension arithmatex has marked."""
    return EQUATION.sub(mathml, content)


def mathml(equation):
    """One equation; those on lines of their own may be wider than the page and scroll.

    Raises:
        PluginError: the converter does not know a command and would show it as it is written.
    """
    tag, latex = equation.groups()
    # The converter knows `aligned` by its other name, and takes a prime for a letter.
    latex = html.unescape(latex).strip().replace("{aligned}", "{split}")
    shown = convert(latex, display="block" if tag == "div" else "inline")
    shown = shown.replace("<mi>&#x02032;</mi>", "<mo>&#x02032;</mo>")
    if re.search(r"<m\w>(&|\\\w*)</m\w>", shown):
        raise PluginError(f"the equation {latex!r} is not understood by latex2mathml")
    return f'<{tag} class="equation">{shown}</{tag}>'
