"""Files of users: values survive writing and reading, and errors name the file, line and column."""

import csv
import io
import math
import re
import zipfile

import numpy as np
import pytest
from hypothesis import assume, example, given, settings, strategies as st

from kspike_reg.datasets import Paths, elasticity, read, write_csv
from kspike_reg.errors import InputError

thorough = settings(max_examples=80, deadline=None, derandomize=True)
exhaustive = settings(thorough, max_examples=250)

finite = st.floats(allow_nan=False, allow_infinity=False)
# No control characters or surrogates, which a CSV file cannot hold; no byte order mark, which may start a file.
words = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufeff"), min_size=1, max_size=8
).filter(lambda word: word == word.strip())
positions = st.one_of(st.integers(-(2**53), 2**53).map(float), st.floats(-1e15, 1e15))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all examples of a property; each example overwrites the file of the previous one."""
    return tmp_path_factory.mktemp("files")


@st.composite
def ragged(draw):
    """Labels, step positions and values of paths that differ in length, and the names of inputs and targets."""
    names = draw(st.lists(words.filter(lambda word: word not in ("path", "step")), min_size=1, max_size=4, unique=True))
    inputs = draw(st.integers(1, len(names)))
    labels = draw(st.lists(words, min_size=1, max_size=4, unique=True))
    paths = {}
    for label in labels:
        steps = sorted(draw(st.lists(positions, min_size=2, max_size=5, unique=True)))
        row = st.lists(finite, min_size=len(names), max_size=len(names))
        paths[label] = list(zip(steps, draw(st.lists(row, min_size=len(steps), max_size=len(steps))), strict=True))
    return names[:inputs], names[inputs:], paths


def written(file, header, rows, terminator="\n"):
    with open(file, "w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator=terminator)
        writer.writerow(header)
        writer.writerows(rows)
    return file


def text(content, file):
    """Write `content` to `file` without changing its line ends."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return file


GOOD = "path,step,strain,stress\na,0,0.5,10\na,1,1.5,-20\nb,0,2.5,30\nb,1,3.5,40\nb,2,4.5,50\n"


def check_good(paths):
    """Check that the paths are those of `GOOD`."""
    assert paths.labels == ("a", "b")
    np.testing.assert_array_equal(paths.lengths, [2, 3])
    np.testing.assert_array_equal(paths.inputs[paths.mask][:, 0], [0.5, 1.5, 2.5, 3.5, 4.5])
    np.testing.assert_array_equal(paths.targets[paths.mask][:, 0], [10, -20, 30, 40, 50])
    np.testing.assert_array_equal(paths.steps[paths.mask], [0, 1, 0, 1, 2])


# ------------------------------------------------------------------------------------- valid CSV files


def test_a_table_becomes_paths(tmp_path):
    file = text(GOOD, tmp_path / "tests.csv")
    paths = read(file, ["strain"], ["stress"])
    check_good(paths)
    assert paths.inputs.shape == (2, 3, 1)
    assert (paths.input_names, paths.target_names) == (("strain",), ("stress",))
    assert paths.source == {"file": "tests.csv"}
    assert read(str(file), ["strain"]).targets is None


@thorough
@given(ragged(), st.randoms(use_true_random=False), st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_to_csv_is_read_back_exactly(folder, data, random, terminator):
    """For any order of lines and columns. repr writes a double such that reading gives the same double."""
    inputs, targets, paths = data
    names = [*inputs, *targets]
    lines = [(label, repr(step), *map(repr, values)) for label, rows in paths.items() for step, values in rows]
    header = ["path", "step", *names]
    random.shuffle(lines)
    columns = list(range(len(header)))
    random.shuffle(columns)
    file = written(
        folder / "any.csv",
        [header[column] for column in columns],
        [[line[column] for column in columns] for line in lines],
        terminator,
    )
    result = read(file, inputs, targets)
    assert result.labels == tuple(dict.fromkeys(line[0] for line in lines))
    for index, label in enumerate(result.labels):
        length = len(paths[label])
        assert result.lengths[index] == length
        assert result.steps[index, :length].tolist() == [step for step, _ in paths[label]]
        expected = np.array([values for _, values in paths[label]])
        np.testing.assert_array_equal(result.inputs[index, :length], expected[:, : len(inputs)])
        if targets:
            np.testing.assert_array_equal(result.targets[index, :length], expected[:, len(inputs) :])
    assert targets or result.targets is None


def test_the_order_of_the_lines_does_not_matter(tmp_path):
    """Only the order of the paths follows the file; path b has the first line here."""
    header, *lines = GOOD.splitlines()
    shuffled = [lines[index] for index in (3, 0, 4, 2, 1)]
    paths = read(text("\n".join([header, *shuffled]), tmp_path / "shuffled.csv"), ["strain"], ["stress"])
    assert paths.labels == ("b", "a")
    check_good(paths.take([1, 0]))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("\ufeff" + GOOD, id="byte order mark"),
        pytest.param(GOOD.replace("\n", "\r\n"), id="windows line ends"),
        pytest.param("\ufeff" + GOOD.replace("\n", "\r\n"), id="both"),
        pytest.param(GOOD.rstrip("\n"), id="no last line end"),
        pytest.param(GOOD + "\n\n", id="blank lines at the end"),
        pytest.param(GOOD.replace("b,0", "\n  \n,,,\nb,0"), id="blank lines in the middle"),
        pytest.param(re.sub(r"([^,\n]+)", r'"\1"', GOOD), id="quoted fields"),
        pytest.param(GOOD.replace(",", " , "), id="blanks around the fields"),
        pytest.param(GOOD.replace("0.5", "5E-1").replace("-20", "-2.0e+01"), id="exponents"),
    ],
)
def test_tables_in_the_formats_of_other_programs_give_the_same_paths(tmp_path, content):
    check_good(read(text(content, tmp_path / "tests.csv"), ["strain"], ["stress"]))


def test_unused_columns_may_hold_anything(tmp_path):
    content = GOOD.replace("\n", ',"a, note"\n').replace('stress,"a, note"', "stress,remark")
    check_good(read(text(content, tmp_path / "tests.csv"), ["strain"], ["stress"]))


def test_the_suffix_may_be_in_capitals(tmp_path):
    check_good(read(text(GOOD, tmp_path / "TESTS.CSV"), ["strain"], ["stress"]))


def test_labels_are_text_not_numbers(tmp_path):
    """1, 1.0 and 01 are three paths, and so are labels that other readers treat as missing values."""
    labels = ["1", "1.0", "01", "NA", "nan", "None", "null", "true"]
    rows = [(label, step, number) for number, label in enumerate(labels) for step in (0, 1)]
    paths = read(written(tmp_path / "labels.csv", ("path", "step", "strain"), rows), ["strain"])
    assert paths.labels == tuple(labels)
    assert paths.inputs[:, 1, 0].tolist() == list(range(len(labels)))


def test_path_and_step_columns_may_have_other_names(tmp_path):
    content = GOOD.replace("path", "specimen").replace("step", "time")
    file = text(content, tmp_path / "tests.csv")
    check_good(read(file, ["strain"], ["stress"], path_column="specimen", step_column="time"))
    with pytest.raises(InputError, match="no column 'path'"):
        read(file, ["strain"])


# ----------------------------------------------------------------------------------- writing CSV files


@st.composite
def predictions(draw):
    """Paths of unequal length, and values for them with NaN in the padding."""
    lengths = draw(st.lists(st.integers(2, 5), min_size=1, max_size=4))
    shape = (len(lengths), max(lengths))
    labels = draw(st.lists(words, min_size=len(lengths), max_size=len(lengths), unique=True))
    numbers = draw(st.sampled_from([positions, st.integers(-(2**53), 2**53).map(float)]))
    steps = np.zeros(shape)
    for row, length in zip(steps, lengths, strict=True):
        row[:length] = sorted(draw(st.lists(numbers, min_size=length, max_size=length, unique=True)))
    names = draw(st.lists(words.filter(lambda word: word not in ("path", "step")), min_size=1, max_size=3, unique=True))
    size = math.prod(shape) * len(names)
    values = np.array(draw(st.lists(finite, min_size=size, max_size=size))).reshape(*shape, len(names))
    values[np.arange(shape[1]) >= np.array(lengths)[:, None]] = np.nan
    paths = Paths(np.ones((*shape, 1)), None, ("strain",), lengths=lengths, labels=tuple(labels), steps=steps)
    return paths, values, names


@thorough
@given(predictions())
def test_what_write_csv_writes_is_read_back_exactly(folder, data):
    paths, values, names = data
    file = folder / "predicted.csv"
    write_csv(file, paths, values, names)
    result = read(file, names)
    assert result.labels == paths.labels
    np.testing.assert_array_equal(result.lengths, paths.lengths)
    np.testing.assert_array_equal(result.steps[result.mask], paths.steps[paths.mask])
    np.testing.assert_array_equal(result.inputs[result.mask], values[paths.mask])


def test_write_csv_omits_the_padding_and_writes_whole_steps_as_integers(tmp_path):
    paths = Paths(np.ones((2, 3, 1)), None, ("strain",), lengths=[2, 3])
    values = np.array([[[0.5], [1.25], [np.nan]], [[2.0], [3.0], [-4.0]]])
    write_csv(tmp_path / "predicted.csv", paths, values, ["stress"])
    expected = "path,step,stress\n0,0,0.5\n0,1,1.25\n1,0,2.0\n1,1,3.0\n1,2,-4.0\n"
    assert (tmp_path / "predicted.csv").read_text(encoding="utf-8") == expected


def test_write_csv_names_the_columns_of_path_and_step_as_requested(tmp_path):
    paths = Paths(np.ones((1, 2, 1)), None, ("strain",), labels=("a",))
    columns = {"path_column": "specimen", "step_column": "time"}
    write_csv(tmp_path / "predicted.csv", paths, np.array([[[0.5], [2.0]]]), ["stress"], **columns)
    expected = "specimen,time,stress\na,0,0.5\na,1,2.0\n"
    assert (tmp_path / "predicted.csv").read_text(encoding="utf-8") == expected
    np.testing.assert_array_equal(read(tmp_path / "predicted.csv", ["stress"], **columns).inputs, [[[0.5], [2.0]]])


@pytest.mark.parametrize(
    ("names", "columns", "clash"),
    [
        (["stress", "path"], {}, "path"),
        (["step"], {}, "step"),
        (["stress"], {"path_column": "stress"}, "stress"),
        (["stress"], {"path_column": "step"}, "step"),
    ],
)
def test_write_csv_refuses_two_columns_of_one_name(tmp_path, names, columns, clash):
    """One of them would be lost silently."""
    paths = Paths(np.ones((1, 2, 1)), None, ("strain",))
    with pytest.raises(InputError, match=repr(clash)):
        write_csv(tmp_path / "predicted.csv", paths, np.ones((1, 2, len(names))), names, **columns)
    assert not (tmp_path / "predicted.csv").exists()


def test_write_csv_keeps_single_precision_exactly_and_writes_to_open_files():
    """Predictions are float32; the shortest decimal of a float32 gives the same float32 when it is read."""
    paths = elasticity(4, timesteps=3, seed=2)
    values = paths.targets.astype(np.float32)
    lines = io.StringIO()
    write_csv(lines, paths, values, paths.target_names)
    rows = list(csv.reader(lines.getvalue().splitlines()))[1:]
    np.testing.assert_array_equal(np.array([row[2] for row in rows], dtype=np.float32), values.ravel())


@pytest.mark.parametrize("huge", [1e300, 9.3e18, -1e19])
def test_write_csv_accepts_positions_beyond_the_range_of_int64(tmp_path, huge):
    """A position may be any finite number; beyond 2**63 it is not an int64."""
    steps = np.sort([[0.0, huge]])
    paths = Paths(np.ones((1, 2, 1)), None, ("strain",), steps=steps)
    write_csv(tmp_path / "predicted.csv", paths, np.ones((1, 2, 1)), ["stress"])
    np.testing.assert_array_equal(read(tmp_path / "predicted.csv", ["stress"]).steps, steps)


# ----------------------------------------------------------------------------------- invalid CSV files


def refused(file, *fragments, inputs=("strain",), targets=("stress",)):
    """The reader refuses `file` with a message of one line that names it and contains every fragment."""
    with pytest.raises(InputError) as caught:
        read(file, list(inputs), list(targets))
    message = str(caught.value)
    assert message.startswith(str(file))
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message


BAD_CELLS = [
    "NaN",
    "nan",
    "inf",
    "-inf",
    "Infinity",
    "1e400",
    "hello",
    "1,5",
    "0x10",
    "1 2",
    "--1",
    "NA",
    "true",
    "5 MPa",
]


@pytest.mark.parametrize("cell", BAD_CELLS)
@pytest.mark.parametrize("column", ["strain", "stress", "step"])
def test_the_error_names_line_and_column_of_a_cell_that_is_not_a_finite_number(tmp_path, column, cell):
    rows = [line.split(",") for line in GOOD.splitlines()]
    rows[3][rows[0].index(column)] = cell
    file = written(tmp_path / "tests.csv", rows[0], rows[1:])
    refused(file, "line 4", f"column {column!r} holds {cell!r}", "expected a finite number")


@pytest.mark.parametrize("cell", ["", "  "])
@pytest.mark.parametrize("column", ["strain", "stress", "step", "path"])
def test_the_error_names_line_and_column_of_an_empty_cell(tmp_path, column, cell):
    rows = [line.split(",") for line in GOOD.splitlines()]
    rows[4][rows[0].index(column)] = cell
    file = written(tmp_path / "tests.csv", rows[0], rows[1:])
    refused(file, "line 5", f"column {column!r} is empty")


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        pytest.param(GOOD.replace("strain", "strian"), ("no column 'strain'", "did you mean 'strian'?"), id="misspelt"),
        pytest.param(
            GOOD.replace(",stress", ",x"), ("no column 'stress'", "'path', 'step', 'strain', 'x'"), id="other"
        ),
        pytest.param(GOOD.replace("path", "specimen"), ("no column 'path'",), id="no path column"),
        pytest.param(GOOD.replace("step", "n"), ("no column 'step'",), id="no step column"),
        pytest.param(GOOD.replace(",", ";"), ("no column 'path'", "path;step;strain;stress"), id="semicolons"),
        pytest.param("", ("the file is empty",), id="empty"),
        pytest.param("\ufeff", (), id="byte order mark alone"),
        pytest.param("\n\n", (), id="line ends alone"),
        pytest.param(GOOD.splitlines()[0], ("no lines of data",), id="header alone"),
        pytest.param(GOOD.splitlines()[0] + "\n\n,,,\n", ("no lines of data",), id="header and blank lines"),
        pytest.param(GOOD + "b,1,6,60\n", ("lines 5 and 7", "path 'b' has step 1 twice"), id="a step twice"),
        pytest.param(GOOD + "c,0,6,60\n", ("path 'c' has 1 step",), id="a path of one step"),
        pytest.param(GOOD.replace("b,0,2.5,30", "b,0,2.5"), ("line 4", "'stress' is empty"), id="short line"),
        pytest.param(GOOD.replace("b,0,2.5,30", "b,0,2.5,30,7"), ("line 4",), id="long line"),
        pytest.param(GOOD.replace("a,0,0.5,10", "a,0,0.5,10,7"), ("line 2",), id="long first line"),
        pytest.param(GOOD.replace("0.5", "0,5"), ("line 2",), id="decimal comma in the first line"),
        pytest.param(GOOD.replace("a,0", '"a,0'), (), id="a quotation mark that never closes"),
        pytest.param(GOOD.replace("a,0", "\xe9,0").encode("latin-1"), (), id="latin-1"),
        pytest.param(GOOD.encode("utf-16"), (), id="utf-16"),
        pytest.param(b"\x00" * 40, (), id="zeros"),
    ],
)
def test_an_invalid_table_is_refused_with_its_name_and_the_place_of_the_error(tmp_path, content, fragments):
    refused(text(content, tmp_path / "tests.csv"), *fragments)


@pytest.mark.parametrize("name", ["strain", " strain", "stress ", "path", "path ", " step"])
def test_a_column_that_is_twice_in_the_header_is_refused(tmp_path, name):
    """Only the user knows which of the two is meant."""
    header, *lines = GOOD.splitlines()
    content = "\n".join([f"{header},{name}", *(f"{line},9" for line in lines)])
    refused(text(content, tmp_path / "tests.csv"), f"column {name.strip()!r}")


@thorough
@given(st.integers(0, 4), st.lists(st.sampled_from(["", "   ", ",,,", '"",,,']), max_size=6), st.data())
def test_blank_lines_do_not_shift_the_line_number_of_an_error(folder, wrong, blanks, data):
    header, *lines = GOOD.splitlines()
    fields = lines[wrong].split(",")
    lines[wrong] = ",".join([*fields[:2], "wrong", fields[3]])
    for blank in blanks:
        lines.insert(data.draw(st.integers(0, len(lines))), blank)
    number = 2 + next(index for index, line in enumerate(lines) if "wrong" in line)
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    file = text(end.join([header, *lines]), folder / "blank.csv")
    refused(file, f"line {number}:", "column 'strain' holds 'wrong'")


def test_a_quoted_field_over_two_lines_does_not_shift_the_line_number_of_an_error(tmp_path):
    """The note of the first row is on lines 2 and 3, so the wrong cell of the second row is on line 4."""
    content = 'path,step,strain,note\na,0,1,"two\nlines"\na,1,wrong,one\n'
    refused(text(content, tmp_path / "tests.csv"), "line 4", "holds 'wrong'", targets=())


def test_an_open_quotation_mark_swallows_no_lines(tmp_path):
    """The mark is in an unused column, where path b would be lost silently."""
    content = 'path,step,strain,note\na,0,1,x\na,1,2,"open\nb,0,3,y\nb,1,4,z\n'
    refused(text(content, tmp_path / "tests.csv"), targets=())


number_like = st.one_of(
    st.text(st.sampled_from("0123456789+-.eE_ \t"), max_size=8),
    st.text(max_size=6),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    finite.map(lambda number: f"{number:.25g}"),
    st.sampled_from(["inf", "nan", "1e999", "1_0", "٣", "0x1p3", "1e-400", "infinity", "+.5", "5.", "1d3", "True"]),
)


@exhaustive
@given(number_like)
def test_a_cell_is_read_as_its_number_or_refused(folder, cell):
    """Python's float is the oracle, except for underscores and digits of other scripts, which only Python accepts."""
    assume(not any(0xD800 <= ord(character) < 0xE000 for character in cell))
    file = written(folder / "cell.csv", ("path", "step", "strain"), [("a", 0, cell), ("a", 1, 1)])
    try:
        expected = float(cell.strip())
    except ValueError:
        expected = math.nan
    try:
        number = read(file, ["strain"]).inputs[0, 0, 0]
    except InputError:
        assert not math.isfinite(expected) or "_" in cell or not cell.isascii()
        return
    assert math.isfinite(expected)
    assert number == expected


def any_outcome_but_a_crash(file, **options):
    """Read `file`; the only error that a user may see is an InputError that names the file."""
    paths, refusal = None, None
    try:
        paths = read(file, ["strain"], **options)
    except InputError as error:
        refusal = str(error)
    if refusal is None:
        assert np.all(np.isfinite(paths.inputs[paths.mask]))
    else:
        assert refusal.startswith(str(file))


@thorough
@given(st.binary(max_size=300))
@example(b"PK\x03\x04")
@example(b"\x93NUMPY\x01\x00v\x00")
@example(b"\x80\x04K\x01.")
def test_random_bytes_never_crash_a_reader(folder, content):
    for suffix in (".csv", ".npz"):
        any_outcome_but_a_crash(text(content, folder / f"random{suffix}"))


@thorough
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=200))
def test_random_text_below_a_header_never_crashes_the_reader(folder, content):
    any_outcome_but_a_crash(text("path,step,strain\n" + content, folder / "text.csv"))
    any_outcome_but_a_crash(text(content, folder / "text.csv"))


cells = st.sampled_from(
    ["a", "b", "0", "1", "2.5", "-1e3", "", " ", "nan", '"', '""', '"x', "\r", "\x00", "\ufeff", "'", "é"]
)


@exhaustive
@given(st.lists(st.lists(cells, max_size=5).map(",".join), max_size=7).map("\n".join))
def test_random_tables_never_crash_the_reader(folder, content):
    any_outcome_but_a_crash(text("path,step,strain\n" + content, folder / "table.csv"))


@thorough
@given(
    st.lists(st.sampled_from(["path", "step", "strain", " strain", "strain.1", "", '"strain"', "path "]), max_size=6)
)
def test_random_headers_never_crash_the_reader(folder, header):
    lines = [",".join(header), *(",".join([str(number)] * len(header)) for number in (1, 2, 3))]
    any_outcome_but_a_crash(text("\n".join(lines), folder / "header.csv"))


# ----------------------------------------------------------------------------------- names and folders


@pytest.mark.parametrize("name", ["tests.txt", "tests", "tests.csv.gz", "tests.npy"])
def test_another_suffix_is_refused_with_the_valid_ones(tmp_path, name):
    refused(text(GOOD, tmp_path / name), "ends in .csv or .npz")


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_a_file_that_is_not_there_is_refused(tmp_path, suffix):
    refused(tmp_path / f"absent{suffix}", "cannot be read: No such file or directory")


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_a_folder_is_refused(tmp_path, suffix):
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    refused(folder, "cannot be read: Is a directory")


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_a_path_below_a_file_and_a_name_too_long_are_refused(tmp_path, suffix):
    below = text(GOOD, tmp_path / "tests.csv") / f"more{suffix}"
    refused(below, "cannot be read: Not a directory")
    refused(tmp_path / ("x" * 300 + suffix), "cannot be read: File name too long")


@pytest.mark.parametrize(
    ("inputs", "targets", "name"),
    [(["strain", "strain"], [], "strain"), (["strain"], ["strain"], "strain"), (["strain"], ["x", "x"], "x")],
)
def test_a_column_named_twice_among_inputs_and_targets_is_refused(tmp_path, inputs, targets, name):
    file = text(GOOD, tmp_path / "tests.csv")
    refused(file, f"{name} is named more than once", inputs=inputs, targets=targets)


def test_no_input_at_all_is_refused(tmp_path):
    refused(text(GOOD, tmp_path / "tests.csv"), "at least one input column", inputs=())


# ------------------------------------------------------------------------------------- valid NPZ files


@st.composite
def padded(draw):
    """Arrays of shape (paths, steps, quantities) with lengths, and NaN in the padding."""
    lengths = np.array(draw(st.lists(st.integers(2, 5), min_size=1, max_size=4)))
    longest = int(lengths.max()) + draw(st.integers(0, 2))
    quantities = draw(st.integers(1, 3))
    size = len(lengths) * longest * quantities
    values = np.array(draw(st.lists(finite, min_size=size, max_size=size))).reshape(len(lengths), longest, quantities)
    values[np.arange(longest) >= lengths[:, None]] = np.nan
    return values, lengths


@thorough
@given(padded(), st.booleans())
def test_arrays_with_lengths_are_read_back_exactly(folder, data, compressed):
    values, lengths = data
    names = ["strain", "stress", "heat"][: values.shape[2]]
    arrays = {name: values[..., index] for index, name in enumerate(names)}
    save = np.savez_compressed if compressed else np.savez
    save(folder / "any.npz", lengths=lengths, **arrays)
    result = read(folder / "any.npz", names[:1], names[1:])
    np.testing.assert_array_equal(result.lengths, lengths)
    np.testing.assert_array_equal(result.inputs, values[..., :1])  # including the padding, which is passed on unchanged
    if names[1:]:
        np.testing.assert_array_equal(result.targets, values[..., 1:])
    assert names[1:] or result.targets is None
    assert result.labels == tuple(range(len(lengths)))


@thorough
@given(padded())
def test_the_quantities_of_an_array_of_three_axes_are_numbered(folder, data):
    values, lengths = data
    np.savez(folder / "any.npz", strain=values, lengths=lengths)
    names = [f"strain_{index + 1}" for index in range(values.shape[2])]
    for chosen in (names, names[::-1], names[-1:]):
        result = read(folder / "any.npz", chosen)
        columns = [names.index(name) for name in chosen]
        np.testing.assert_array_equal(result.inputs, values[..., columns])
        assert result.input_names == tuple(chosen)


def test_a_single_quantity_on_three_axes_keeps_its_name(tmp_path):
    np.savez(tmp_path / "tests.npz", strain=np.arange(6.0).reshape(2, 3, 1), stress=np.ones((2, 3)))
    paths = read(tmp_path / "tests.npz", ["strain"], ["stress"])
    np.testing.assert_array_equal(paths.inputs[..., 0], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(paths.lengths, [3, 3])
    np.testing.assert_array_equal(read(tmp_path / "tests.npz", ["strain_1"]).inputs, paths.inputs)


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "i4", "u1"])
def test_any_real_type_is_accepted(tmp_path, dtype):
    np.savez(tmp_path / "tests.npz", strain=np.arange(6).reshape(2, 3).astype(dtype))
    np.testing.assert_array_equal(read(tmp_path / "tests.npz", ["strain"]).inputs[..., 0], [[0, 1, 2], [3, 4, 5]])


def test_the_same_paths_from_csv_and_npz_are_the_same(tmp_path):
    table = read(text(GOOD, tmp_path / "tests.csv"), ["strain"], ["stress"])
    arrays = {"strain": table.inputs[..., 0], "stress": table.targets[..., 0], "lengths": table.lengths}
    np.savez(tmp_path / "tests.npz", **arrays)
    archive = read(tmp_path / "tests.npz", ["strain"], ["stress"])
    np.testing.assert_array_equal(archive.inputs[archive.mask], table.inputs[table.mask])
    np.testing.assert_array_equal(archive.targets[archive.mask], table.targets[table.mask])


# ----------------------------------------------------------------------------------- invalid NPZ files


STRAIN = np.arange(6.0).reshape(2, 3)


def with_one(value):
    """Strains with one wrong number in path 1 at step 2."""
    array = STRAIN.copy()
    array[1, 2] = value
    return array


@pytest.mark.parametrize(
    ("arrays", "fragments"),
    [
        ({"strian": STRAIN}, ("no array 'strain'", "did you mean 'strian'?")),
        ({"strain": np.ones((2, 3, 2)), "stress": STRAIN}, ("no array 'strain'", "'strain_1', 'strain_2'")),
        ({"strain": STRAIN}, ("no array 'stress'",)),
        ({"strain": STRAIN, "stress": STRAIN[:, :2]}, ("'stress' has shape (2, 2)", "'strain' has (2, 3)")),
        ({"strain": STRAIN, "stress": STRAIN[:1]}, ("'stress' has shape (1, 3)",)),
        ({"strain": STRAIN[0], "stress": STRAIN[0]}, ("'strain' has shape (3,)", "(paths, steps)")),
        ({"strain": np.float64(1), "stress": np.float64(1)}, ("'strain' has shape ()",)),
        ({"strain": np.ones((2, 3, 1, 1)), "stress": STRAIN}, ("'strain' has shape (2, 3, 1, 1)",)),
        ({"strain": np.ones((0, 3)), "stress": np.ones((0, 3))}, ("'strain' has shape (0, 3)",)),
        ({"strain": np.array([["a", "b"]]), "stress": STRAIN}, ("'strain' holds <U1, expected real numbers",)),
        ({"strain": STRAIN + 1j, "stress": STRAIN}, ("'strain' holds complex128",)),
        ({"strain": STRAIN > 2, "stress": STRAIN}, ("'strain' holds bool",)),
        ({"strain": with_one(np.nan), "stress": STRAIN}, ("path 1, step 2: strain is nan",)),
        ({"strain": STRAIN, "stress": with_one(-np.inf)}, ("path 1, step 2: stress is -inf",)),
        ({"strain": STRAIN[:, :1], "stress": STRAIN[:, :1]}, ("path 0 has 1 step;",)),
        ({"strain": STRAIN, "stress": STRAIN, "lengths": np.array([3, 1])}, ("path 1 has 1 step;",)),
        ({"strain": STRAIN, "stress": STRAIN, "lengths": np.array([3, 4])}, ("path 1 has 4 steps; expected 2 to 3",)),
        ({"strain": STRAIN, "stress": STRAIN, "lengths": np.array([3, -1])}, ("path 1 has -1 steps",)),
        ({"strain": STRAIN, "stress": STRAIN, "lengths": np.array([3.0, 2.5])}, ("2 whole lengths", "float64")),
        ({"strain": STRAIN, "stress": STRAIN, "lengths": np.array([3, 3, 3])}, ("2 whole lengths",)),
        ({"strain": STRAIN, "stress": STRAIN, "lengths": np.array([[3, 3]])}, ("2 whole lengths",)),
        ({"strain": STRAIN, "stress": STRAIN, "lengths": np.array(3)}, ("2 whole lengths",)),
        ({"strain": STRAIN, "stress": STRAIN, "lengths": np.array(["3", "3"])}, ("2 whole lengths",)),
        ({}, ("no array 'strain'",)),
    ],
)
def test_invalid_arrays_are_refused_with_their_name(tmp_path, arrays, fragments):
    np.savez(tmp_path / "tests.npz", **arrays)
    refused(tmp_path / "tests.npz", *fragments)


def test_pickled_objects_are_refused_without_reading_them(tmp_path):
    """Reading a pickle runs the code in it, and the archive cannot be trusted."""
    objects = np.empty((2, 3), dtype=object)
    objects[:] = 1.0
    np.savez(tmp_path / "tests.npz", strain=objects)
    refused(tmp_path / "tests.npz", "not an NPZ archive of plain number arrays", targets=())
    objects.dump(tmp_path / "pickle.npz")
    refused(tmp_path / "pickle.npz", "not an NPZ archive of plain number arrays", targets=())


def test_a_single_array_is_refused_with_the_function_that_writes_archives(tmp_path):
    with open(tmp_path / "tests.npz", "wb") as stream:
        np.save(stream, STRAIN)
    refused(tmp_path / "tests.npz", "holds a single array", "numpy.savez", targets=())


def test_an_empty_archive_file_is_refused(tmp_path):
    refused(text(b"", tmp_path / "tests.npz"), "the file is empty")


def test_an_archive_of_something_else_than_arrays_is_refused(tmp_path):
    """Many formats are ZIP files, for example .keras models."""
    with zipfile.ZipFile(tmp_path / "tests.npz", "w") as archive:
        archive.writestr("strain", "not an array")
    refused(tmp_path / "tests.npz", targets=())


def archive_bytes(save):
    stream = io.BytesIO()
    save(stream, strain=STRAIN, lengths=np.array([3, 2]))
    return stream.getvalue()


ARCHIVES = (archive_bytes(np.savez), archive_bytes(np.savez_compressed))


@pytest.mark.parametrize("content", ARCHIVES, ids=["plain", "compressed"])
def test_an_archive_truncated_anywhere_is_refused(tmp_path, content):
    assert len(read(text(content, tmp_path / "tests.npz"), ["strain"])) == 2
    for length in [*range(1, len(content), 23), len(content) - 1]:
        refused(text(content[:length], tmp_path / "tests.npz"), targets=())


@exhaustive
@given(
    st.sampled_from(ARCHIVES),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_damaged_archive_never_crashes_the_reader(folder, content, damage):
    damaged = bytearray(content)
    for place, byte in damage:
        damaged[int(place * len(damaged))] = byte
    any_outcome_but_a_crash(text(bytes(damaged), folder / "damaged.npz"))


@pytest.mark.parametrize("content", ARCHIVES, ids=["plain", "compressed"])
def test_an_archive_with_any_byte_wrong_never_crashes_the_reader(tmp_path, content):
    """Each byte in turn, so that each field of the format is damaged: method, flags, sizes, checksums, headers."""
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x5B
        any_outcome_but_a_crash(text(bytes(damaged), tmp_path / "damaged.npz"))


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_paths_carry_their_units(tmp_path, suffix):
    file, values = tmp_path / f"mine{suffix}", np.arange(6.0).reshape(2, 3)
    if suffix == ".npz":
        np.savez(file, strain=values, stress=values)
    else:
        file.write_text("path,step,strain,stress\n1,0,0.5,7\n1,1,0.6,8\n")
    assert read(file, ["strain"], ["stress"], units={"stress": "MPa"}).units == {"stress": "MPa"}
    assert read(file, ["strain"], ["stress"]).units == {}
    with pytest.raises(InputError, match=r"a unit for 'stres', which is none of the quantities: strain, stress"):
        read(file, ["strain"], ["stress"], units={"stres": "MPa"})
