"""Equations as MathML, which browsers show by themselves: no script, and nothing to be fetched from the internet."""

import html
import re

from latex2mathml.converter import convert

EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content, page, config, files):
    """Put MathML in place of the LaTeX that the Markdown extension arithmatex has marked."""
    return EQUATION.sub(mathml, content)


def mathml(equation):
    """One equation; those on lines of their own may be wider than the page and scroll."""
    tag, latex = equation.groups()
    shown = convert(html.unescape(latex).strip(), display="block" if tag == "div" else "inline")
    return f'<{tag} class="equation">{shown}</{tag}>'
