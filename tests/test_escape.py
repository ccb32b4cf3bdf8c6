"""Names that figures, Markdown, LaTeX and shells would read as their own."""

import re
import shlex
import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings, strategies as st

from kspike_reg import plotting
from kspike_reg.datasets import Paths
from kspike_reg.escape import code_block, code_span, latex_text, markdown_text, plot_text
from kspike_reg.experiments import Configuration
from kspike_reg.experiments.card import card, training_command
from kspike_reg.tables import latex, markdown

ATTACK = pytest.mark.attack("Names", "names that figures, Markdown, LaTeX and shells read as their own")
NASTY = (
    r"$\bad{$", "$", "a|b", "`x`", "``", "<script>alert(1)</script>", "&lt;", "&#36;", "\\", r"\|", "*a*", "__a__",
    "_x", "[a](b)", "![a](b)", "# a", "1. a", "- a", "+ a", "--help", "-x", "'", '"', "'; rm -rf ~; '", "$(reboot)",
    "a\nb", "a\n\nb", "a\r\nb", "a  b", "~~a~~", "==a==", ":smile:", "http://a.b", "ε / Δ", "応力", "🔥",
    "{a}", "{: .b}", "%s", "{0}", "a#b", "50% & more", "^2", "a\tb", "---", "===", "| --- |", "!important", "//", "[*]",
    "a_b_c",
)  # fmt: skip
characters = st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co", "Zl", "Zp"), include_characters="\n\t")
marks = st.sampled_from("$|`<>&\\*_[](){}#+-.!~=:'\"^ 1ab\n")
texts = st.one_of(
    st.sampled_from(NASTY), st.text(characters, min_size=1, max_size=12), st.text(marks, min_size=1, max_size=8)
)
texts = texts.map(str.strip).filter(bool)  # as the reader gives names: without blanks around them
many = settings(max_examples=80, deadline=None, derandomize=True)


class Cells(HTMLParser):
    """The text of the cells of a table, and of the items of a list, in HTML."""

    def __init__(self, html):
        super().__init__()
        self.found, self.inside = [], None
        self.tags = set()
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag in ("td", "th", "li"):
            self.inside = ""

    def handle_endtag(self, tag):
        if tag in ("td", "th", "li"):
            self.found.append(self.inside)
            self.inside = None

    def handle_data(self, text):
        if self.inside is not None:
            self.inside += text


def read_by_markdown_it(text):
    reader = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return Cells(reader.render(text))


def read_by_python_markdown(text):
    return Cells(pytest.importorskip("markdown").markdown(text, extensions=["tables", "attr_list"]))


READERS = (read_by_markdown_it, read_by_python_markdown)


def same(found, expected):
    """HTML shows a run of blanks as one, and a reader may turn a carriage return into another one."""
    return [re.sub(r"\s+", " ", text).strip() for text in found] == [re.sub(r"\s+", " ", text) for text in expected]


@ATTACK
@pytest.mark.parametrize("reader", READERS)
@many
@given(st.lists(texts, min_size=2, max_size=3, unique=True), texts)
@example(["a", "b"], "x")
def test_a_markdown_table_parses_back_to_its_names(reader, names, cell):
    table = pd.DataFrame([[cell] * len(names)], columns=names, dtype=object)
    parsed = reader(markdown(table))
    assert same(parsed.found, [*names, *[cell] * len(names)]), markdown(table)
    assert parsed.tags <= {"table", "thead", "tbody", "tr", "th", "td"}


@ATTACK
@pytest.mark.parametrize("reader", READERS)
@many
@given(texts)
def test_an_item_of_a_list_is_one_line_of_text(reader, name):
    parsed = reader(f"- {markdown_text(name)} in {markdown_text(name)}, from 1 to 2\n- next\n")
    assert same(parsed.found, [f"{name} in {name}, from 1 to 2", "next"]), markdown_text(name)
    assert parsed.tags == {"ul", "li"}


@pytest.mark.parametrize(
    "text", ["strain", "yield_stress", "50% & more", "-9.88", "0.667", "1e-3", "a: b", "stress / MPa"]
)
def test_plain_text_stays_as_it_is(text):
    assert markdown_text(text) == text
    assert plot_text(text) == text


@ATTACK
@many
@given(texts)
def test_code_keeps_every_character(text):
    reader = pytest.importorskip("markdown_it").MarkdownIt("commonmark")
    (paragraph,) = [token for token in reader.parse(f"made by {code_span(text)}.") if token.type == "inline"]
    assert [child.content for child in paragraph.children if child.type == "code_inline"] == [
        " ".join(text.splitlines())
    ]
    (block,) = [
        token
        for token in reader.parse(f"above\n\n{code_block(text)}\n\nbelow")
        if token.type[-5:] in ("block", "fence")
    ]
    assert block.content == "\n".join(text.splitlines()) + "\n"  # Markdown has one kind of line end


@ATTACK
@many
@given(st.lists(texts, min_size=1, max_size=3, unique=True), texts)
def test_the_command_of_a_card_parses_back_to_the_same_arguments(names, file):
    configuration = Configuration(data=file, inputs=tuple(names), outputs=("stress",), path_column=file, seed=3)
    words = shlex.split(training_command(vars(configuration)))
    assert words[:2] == ["kspike-reg", "train"]
    assert words[-2:] == ["--out", "FOLDER"]
    start = next(place for place, word in enumerate(words) if word.partition("=")[0] == "--inputs")
    given_names = [words[start].partition("=")[2]] if "=" in words[start] else words[start + 1 : start + 1 + len(names)]
    assert given_names == names
    assert any(
        words[place : place + 2] == ["--data", file] or word == f"--data={file}" for place, word in enumerate(words)
    )


def test_an_argument_that_begins_with_a_dash_is_read_as_one():
    from kspike_reg.cli.parser import build_parser

    configuration = Configuration(data="-a.csv", inputs=("--strain",), outputs=("-x",))
    options = build_parser().parse_args(shlex.split(training_command(vars(configuration)))[1:])
    assert (options.data, options.inputs, options.outputs) == ("-a.csv", ["--strain"], ["-x"])


@ATTACK
@many
@given(texts)
def test_latex_has_no_character_of_its_own_left(text):
    found = latex_text(text)
    for command in (
        r"\textbackslash{}",
        r"\textasciitilde{}",
        r"\textasciicircum{}",
        r"\textless{}",
        r"\textgreater{}",
    ):
        found = found.replace(command, "")
    found = re.sub(r"\\[&%$#_{}]", "", found)
    found = re.sub(r"\{([\[*])\}", "", found)
    assert not set(found) & set("\\&%$#_{}~^<>[*\n\r")


def test_a_latex_row_may_begin_with_a_bracket():
    r"""After the \\ of the row above, [x] would be a length."""
    rows = latex(pd.DataFrame({"a": ["x", "[y]", "*"]})).splitlines()
    assert rows[4:7] == [r"x \\", r"{[}y] \\", r"{*} \\"]


def paths_named(one, other):
    values = np.linspace(1, 2, 12).reshape(2, 3, 2)
    return Paths(values[..., :1], values[..., 1:], (one,), (other,), units={one: other, other: one})


@ATTACK
@pytest.mark.parametrize("name", [r"$\bad{$", "_x", "a\nb|`<b>$", "--応力", "$x$"])
def test_every_figure_shows_any_name(name, record_property):
    """The figure is laid out; what it shows is the name, with nothing left out."""
    paths = paths_named(name, name + " out")
    record = plotting.spike_raster({name: _Record(np.ones((2, 3, 2)))}, paths)
    line = {name: [1.0, 2.0, 3.0]}
    figures = [
        plotting.path_predictions(paths, paths.targets + 1),
        plotting.compared_predictions(paths, {name: paths.targets}, 1),
        plotting.prediction_spread(paths, paths.targets, paths.targets, 1),
        record,
        plotting.learning_curves({name: {"val_loss": [3.0, 2.0]}}),
        plotting.error_lines([1, 2, 3], line, "number"),
        plotting.seed_errors(line, "error", {name: 2.0}),
        plotting.error_histogram(line, "error"),
        plotting.calibration(np.arange(1.0, 41), np.arange(2.0, 42), name),
        plotting.energy_bars({name: {name: 1e-6}}),
        plotting.break_even([0.1, 1.0], {name: [1e-6, 2e-6]}, {name: 1e-6}),
        plotting.pareto({name: ([1e-6, 2e-6], [0.1, 0.2])}, "error"),
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # matplotlib's font lacks letters of some scripts
        for axes in figures:
            np.ravel(axes)[0].figure.draw_without_rendering()
    record_property("times", len(figures))
    legend = figures[4].get_legend()
    assert [text.get_text().strip() for text in legend.get_texts()] == [plot_text(name).strip()]


class _Record:
    def __init__(self, spikes):
        self.spikes = spikes


@ATTACK
@many
@given(texts)
def test_matplotlib_shows_dollars_as_they_are(name):
    """Its own rule decides whether a text is mathematics, and gives the text that it draws otherwise."""
    from matplotlib.figure import Figure

    text = Figure().text(0, 0, plot_text(name))
    shown, mathematics = text._preprocess_math(text.get_text())
    assert mathematics is False
    assert shown.strip() == name


def metrics_named(one, other):
    """The content of metrics.json, with names of columns."""
    errors = {metric: {"all": 0.5, "last": 0.25} for metric in ("mean_relative_error", "root_mean_squared_error")}
    configuration = Configuration(data=f"{one}.csv", inputs=(one,), outputs=(other,))
    return {
        "test": {
            "errors": {"standardised": errors, "physical": errors},
            "spike_rates": {one: 0.5},
            "parameters": 7,
        },
        "training": {"epochs": 1, "seconds": 1.0, "best_epoch": 1},
        "data": {
            "source": {"file": f"{one}.csv"}, "inputs": [one], "outputs": [other], "range": {one: [0.0, 1.0]},
            "units": {other: one}, "paths": {"training": 3, "validation": 1, "test": 1},
            "steps": {"shortest": 2, "longest": 3},
        },
        "environment": {"versions": {"python": "3"}, "device": "CPU:0"},
        "configuration": vars(configuration),
    }  # fmt: skip


@ATTACK
@pytest.mark.parametrize("reader", READERS)
@many
@given(texts, texts)
def test_a_card_shows_its_names(reader, one, other):
    parsed = reader(card(metrics_named(one, other)))
    items, cells = parsed.found[:2], parsed.found[2:]
    assert same(items, [f"{one}, from 0 to 1" if one != other else f"{one} in {one}, from 0 to 1", f"{other} in {one}"])
    expected = f"root mean squared error, in {one}"
    assert same([cells[-3]], [expected])
    assert not parsed.tags & {"script", "a", "img", "del", "math"}
