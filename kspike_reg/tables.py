"""pandas tables as Markdown, LaTeX and files."""

from numbers import Number
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from kspike_reg.escape import latex_text, markdown_text
from kspike_reg.files import replacing

__all__ = ["files_of_table", "is_number", "latex", "markdown", "text_of", "write_table"]


def markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown, with three digits of each number; pandas alone would need another package."""
    head = [[markdown_text(name) for name in table.columns], ["---"] * len(table.columns)]
    rows = head + [[markdown_text(text_of(value)) for value in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def latex(table: pd.DataFrame) -> str:
    """Return a table as LaTeX, with three digits of each number; the document needs the package booktabs."""
    columns = "".join("r" if all(map(is_number, table.iloc[:, place])) else "l" for place in range(table.shape[1]))
    head, *rows = (
        " & ".join(map(latex_text, cells)) + r" \\"
        for cells in (table.columns, *(map(text_of, row) for row in table.itertuples(index=False)))
    )
    lines = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def write_table(table: pd.DataFrame, folder: str | PathLike, name: str) -> list[Path]:
    """Write a table as NAME.csv, in full precision, and as NAME.md and NAME.tex.

    Args:
        table: columns with their names; the index is left out.
        folder: an existing folder.
        name: of the files, without a suffix.

    Returns:
        The three files.

    Raises:
        InputError: the folder cannot be written to.
    """
    files = files_of_table(folder, name)
    for file, text in zip(files, _WRITERS.values(), strict=True):
        with replacing(file) as partial:
            partial.write_text(text(table), encoding="utf-8")
    return files


def files_of_table(folder: str | PathLike, name: str) -> list[Path]:
    """The files that `write_table` writes for a table of that name."""
    return [Path(folder) / f"{name}.{suffix}" for suffix in _WRITERS]


_WRITERS = {"csv": lambda table: table.to_csv(index=False), "md": lambda table: markdown(table) + "\n", "tex": latex}


def is_number(value: Any) -> bool:
    """Whether a cell is a number, or empty."""
    return value is None or isinstance(value, Number)


def text_of(value: Any) -> str:
    """Return the text of a cell: three digits of a real number, and all digits before the point; "" for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        if pd.isna(value):
            return "undefined"
        if value and not 0.1 <= abs(value) < 1e6:
            return f"{value:.2e}"
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
