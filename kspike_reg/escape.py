"""Text that users choose, names of columns, layers and devices, written so that each language shows it as it is.

A name such as `$\\bad{$`, `a|b` or `<script>` means nothing in a file of data. Matplotlib, Markdown, LaTeX and shells
read it as their own.
"""

import re
import shlex
from collections.abc import Iterable

__all__ = ["code_block", "code_span", "latex_text", "markdown_text", "plot_text", "shell_words"]


def plot_text(text: object) -> str:
    """Text for a figure of matplotlib, which reads what is between dollars as mathematics and hides "_" in legends."""
    text = str(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


# References to characters, which every reader of Markdown decodes last; backslashes differ from one to the next.
# Underscores inside words mean nothing, nor does an ampersand before a blank, nor a colon before one.
_IN_MARKDOWN = re.compile(
    r"[\\`*\[\]{}<>|$~^]|(?<![^\W_])_|_(?![^\W_])|&(?=[#\w])|:(?=[\w/])|==+|[\t\n\v\f\r\u2028\u2029]"
)
# What begins a heading, a list or a line, and blanks that would be taken off.
_AROUND_MARKDOWN = re.compile(r"^[#=:!]|^[+-](?![\w.])|^\d{1,9}[.)](?= |$)|^ | $|  +")


def markdown_text(text: object) -> str:
    """Text for a line of Markdown, a cell of a table or an item of a list."""
    return _AROUND_MARKDOWN.sub(_references, _IN_MARKDOWN.sub(_references, str(text)))


def _references(found: re.Match[str]) -> str:
    return "".join(f"&#{ord(character)};" for character in found[0])


def code_span(text: str) -> str:
    """Text between backticks in a line of Markdown; ends of lines become blanks, as readers show them."""
    text = " ".join(text.splitlines())
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    blank = " " if longest or text[:1] == text[-1:] == " " else ""  # taken off by the reader
    return f"{fence}{blank}{text}{blank}{fence}"


def code_block(text: str) -> str:
    """Text as a block of Markdown that is shown as it is."""
    if len(text.splitlines()) <= 1:
        return f"    {text}"
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


_IN_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    # After the end of a row, which may be followed by a length in brackets, or by a star.
    **{character: f"{{{character}}}" for character in "[*"},
    # Blank lines end paragraphs, which a table has none of.
    **dict.fromkeys(map(chr, (*range(32), 127, 0x85, 0x2028, 0x2029)), " "),
}


def latex_text(text: object) -> str:
    """Text for a cell of a LaTeX table."""
    return str(text).translate(str.maketrans(_IN_LATEX))


def shell_words(words: Iterable[object]) -> str:
    """Words as a command for a POSIX shell."""
    return shlex.join(map(str, words))
