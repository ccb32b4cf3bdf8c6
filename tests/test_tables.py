"""Tables as text for readers and as files for computations."""

import csv
import os

import numpy as np
import pandas as pd
import pytest

from kspike_reg import InputError
from kspike_reg.tables import is_number, latex, markdown, text_of, write_table

TABLE = pd.DataFrame(
    {
        "layer_name": ["lif_1", "50% & more", "total"],
        "count": [12_345_678, 0, 7],
        "energy / nJ": [2.0 / 3.0, 1234.5678, None],
    },
    dtype=object,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("below it", "below it"),
        # Integers of any size are written in full.
        (0, "0"),
        (12_345_678, "12345678"),
        (-3, "-3"),
        (True, "True"),
        # Three digits, but all digits before the point.
        (0.0, "0"),
        (2.0, "2"),
        (0.12345, "0.123"),
        (0.1, "0.1"),
        (-9.8765, "-9.88"),
        (12.345, "12.3"),
        (999.4, "999"),
        (1000.0, "1000"),
        (1234.5678, "1235"),
        (-54321.9, "-54322"),
        (999_999.4, "999999"),
        # Very small and very large numbers with a power of ten.
        (0.0999, "9.99e-02"),
        (-1.2345e-9, "-1.23e-09"),
        (1e6, "1.00e+06"),
        (5.704089e9, "5.70e+09"),
        (float("nan"), "undefined"),
        (float("inf"), "inf"),
        (-float("inf"), "-inf"),
        # pandas returns NumPy's numbers.
        (np.float64(0.12345), "0.123"),
        (np.float64("nan"), "undefined"),
        (np.int64(12_345_678), "12345678"),
    ],
)
def test_a_cell(value, text):
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("value", "expected"), [(None, True), (3, True), (0.5, True), (np.int64(3), True), ("3", False)]
)
def test_alignment_to_the_right(value, expected):
    assert is_number(value) is expected


def test_markdown():
    assert markdown(TABLE).splitlines() == [
        "| layer_name | count | energy / nJ |",
        "| --- | --- | --- |",
        "| lif_1 | 12345678 | 0.667 |",
        "| 50% & more | 0 | 1235 |",
        "| total | 7 |  |",
    ]


def test_latex_escapes_special_characters_and_aligns_numbers_to_the_right():
    """Empty cells are missing numbers; underscores, ampersands and percent signs would break a LaTeX run."""
    assert latex(TABLE).splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"layer\_name & count & energy / nJ \\",
        r"\midrule",
        r"lif\_1 & 12345678 & 0.667 \\",
        r"50\% \& more & 0 & 1235 \\",
        r"total & 7 &  \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_a_column_with_a_single_word_is_aligned_to_the_left():
    table = pd.DataFrame({"for one path": [0.5, "not counted"], "device": [1.0, None]}, dtype=object)
    assert latex(table).startswith(r"\begin{tabular}{lr}")


def test_the_files_of_a_table(tmp_path):
    files = write_table(TABLE, tmp_path, "energies")
    assert sorted(file.name for file in files) == ["energies.csv", "energies.md", "energies.tex"]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert (tmp_path / "energies.md").read_text() == markdown(TABLE) + "\n"
    assert (tmp_path / "energies.tex").read_text() == latex(TABLE)


def test_csv_keeps_every_digit(tmp_path):
    """Doubles are equal after writing and reading, and integers of any size stay integers."""
    numbers = [*np.random.default_rng(3).normal(size=40) * 10.0 ** np.arange(-20, 20), 0.1, 1 / 3, 5e-324]
    table = pd.DataFrame({"joules": numbers, "count": [2**60 + number for number in range(43)]}, dtype=object)
    write_table(table, tmp_path, "exact")
    head, *rows = csv.reader((tmp_path / "exact.csv").read_text().splitlines())
    assert head == ["joules", "count"]
    assert [float(joules) for joules, _ in rows] == numbers
    assert [int(count) for _, count in rows] == [2**60 + number for number in range(43)]


def test_csv_has_empty_cells_for_missing_values_and_quotes_commas(tmp_path):
    table = pd.DataFrame({"rate": [0.5, None], "source": ["a, b", 'say "x"']}, dtype=object)
    write_table(table, tmp_path, "cells")
    assert (tmp_path / "cells.csv").read_text() == 'rate,source\n0.5,"a, b"\n,"say ""x"""\n'


def test_a_table_replaces_the_previous_one(tmp_path):
    write_table(TABLE, tmp_path, "energies")
    write_table(TABLE[:1], tmp_path, "energies")
    assert (tmp_path / "energies.csv").read_text() == f"layer_name,count,energy / nJ\nlif_1,12345678,{2 / 3!r}\n"
    assert len(list(tmp_path.iterdir())) == 3


def test_the_error_names_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match=r"absent/energies\.csv: cannot be written"):
        write_table(TABLE, tmp_path / "absent", "energies")
    (tmp_path / "file").write_text("old")
    with pytest.raises(InputError, match=r"file/energies\.csv: cannot be written"):
        write_table(TABLE, tmp_path / "file", "energies")
    assert [place.name for place in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is closed to the superuser")
def test_the_error_names_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match=r"energies\.csv: cannot be written"):
            write_table(TABLE, tmp_path, "energies")
    finally:
        tmp_path.chmod(0o700)
