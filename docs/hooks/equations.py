"""Equations as MathML. Browsers display it without scripts and without the internet."""

import html
import re

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content, page, config, files):
    """Replace the LaTeX that the Markdown extension arithmatex has marked by MathML."""
    return EQUATION.sub(mathml, content)


def mathml(equation):
    """The MathML of one equation. A displayed equation that is wider than the page scrolls.

    Raises:
        PluginError: the converter does not know a LaTeX command and would print the command itself.
    """
    tag, latex = equation.groups()
    # The converter knows `aligned` only as `split`, and treats a prime as a letter.
    latex = html.unescape(latex).strip().replace("{aligned}", "{split}")
    shown = convert(latex, display="block" if tag == "div" else "inline")
    shown = shown.replace("<mi>&#x02032;</mi>", "<mo>&#x02032;</mo>")
    if re.search(r"<m\w>(&|\\\w*)</m\w>", shown):
        raise PluginError(f"latex2mathml cannot convert the equation {latex!r}; use LaTeX commands that it knows")
    return f'<{tag} class="equation">{shown}</{tag}>'
