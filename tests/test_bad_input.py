"""Invalid input of the command line: an error of one line, status 2, and no file changes."""

import json
import shutil
import zipfile

import keras
import numpy as np
import pandas as pd
import pytest

import kspike_reg
from kspike_reg.cli import main
from kspike_reg.datasets import Standardiser
from kspike_reg.network import physical, saving

TABLE = """path,step,strain,stress,heat
a,0,0.0,0,1
a,1,1e-4,30,2
b,0,0.0,0,-1
b,1,5e-4,90,5
b,2,9e-4,150,6
c,0,0.0,0,3
c,1,7e-4,-80,4
d,0,0.0,0,9
d,1,3e-4,40,8
"""
NETWORK = ("--units", "3", "--population", "2", "--depth", "1", "--epochs", "1")
MODEL = "run/model.keras"


def train(data="tests.csv", *more):
    columns = ("--inputs", "strain", "--outputs", "stress")
    return ["train", "--data", data, *columns, *NETWORK, "--out", "new", *more]


def train_task(*more):
    return ["train", "--task", "elasticity", *NETWORK, "--out", "new", *more]


def evaluate(data="tests.csv", *more, model=MODEL):
    return ["evaluate", model, "--data", data, *more]


def predict(data="tests.csv", *more, model=MODEL):
    return ["predict", model, "--input", data, "--output", "predicted.csv", *more]


COMMANDS = (train, evaluate, predict)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of one tiny run on the elasticity task."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "--task", "elasticity", *NETWORK, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def workspace(trained, tmp_path, monkeypatch):
    """The current folder with a copy of the run and a valid table."""
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "tests.csv").write_text(TABLE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(folder):
    """Every file below `folder` with its content and modification time, and every folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def refused(workspace, capfd):
    """A function that checks that a command is refused: status, one line with the fragments, no file changes."""

    def check(arguments, *fragments):
        before = tree(workspace)
        capfd.readouterr()
        status = main(arguments)
        captured = capfd.readouterr()
        lines = [line for line in captured.err.splitlines() if line.strip()]
        assert status == 2
        assert len(lines) == 1, captured.err
        assert lines[0].startswith(f"kspike-reg {arguments[0]}: error: ")
        for fragment in fragments:
            assert fragment in lines[0]
        assert captured.out == ""
        assert tree(workspace) == before

    return check


# ----------------------------------------------------------------------------------------- valid input


def test_training_on_valid_data_works_and_changed_data_are_refused(workspace, capfd, refused):
    """Guard of the tests below: the same commands with valid input return 0 and write their files."""
    assert main(train()) == 0
    names = {"configuration.json", "model.keras", "card.md", "metrics.json", "history.csv"}
    assert {path.name for path in (workspace / "new").iterdir()} == names | {"loss.png", "predictions.png"}
    assert main(train()) == 0  # does not repeat the finished run
    assert "error" not in capfd.readouterr().err
    (workspace / "tests.csv").write_text(TABLE.replace("150", "151"), encoding="utf-8")
    refused(train(), "new: holds a run of another configuration", "data_sha256")


def test_evaluating_valid_data_prints_the_errors_and_changes_no_file(workspace, capfd):
    before = tree(workspace)
    assert main(evaluate()) == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    assert "mean relative error, eq. 14" in captured.out
    assert "spikes per neuron and step" in captured.out
    assert "nan" not in captured.out
    assert tree(workspace) == before


def predicted(workspace, data="tests.csv", *more):
    """Run predict; returns the table that it writes."""
    output = workspace / "predicted.csv"
    output.unlink(missing_ok=True)
    assert main(predict(data, *more)) == 0
    return pd.read_csv(output, dtype={"path": str})


def test_predictions_have_the_rows_of_the_input_and_one_number_each(workspace, capfd):
    """Paths have two and three steps; the padding has no lines."""
    before = tree(workspace)
    table = predicted(workspace)
    captured = capfd.readouterr()
    assert captured.err == ""
    assert "wrote stress of 4 paths to predicted.csv" in captured.out
    assert list(table.columns) == ["path", "step", "stress"]
    inputs = pd.read_csv(workspace / "tests.csv")
    assert table["path"].tolist() == inputs["path"].tolist()
    assert table["step"].tolist() == inputs["step"].tolist()
    assert np.all(np.isfinite(table["stress"]))
    assert table["stress"].nunique() > 2
    after = tree(workspace)
    assert after.pop("predicted.csv") is not None
    assert after == before


def test_the_order_of_the_lines_does_not_change_a_prediction(workspace):
    """The same numbers for the same path and step; a batch in another order may round differently in the last bits."""
    straight = predicted(workspace).set_index(["path", "step"])["stress"]
    header, *lines = TABLE.splitlines()
    shuffled = [lines[index] for index in (4, 7, 0, 6, 2, 8, 1, 5, 3)]
    (workspace / "shuffled.csv").write_text("\n".join([header, *shuffled]), encoding="utf-8")
    table = predicted(workspace, "shuffled.csv")
    assert table["path"].tolist() == ["b"] * 3 + ["d"] * 2 + ["a"] * 2 + ["c"] * 2  # in the order of their first lines
    assert table["step"].tolist() == [0, 1, 2, 0, 1, 0, 1, 0, 1]
    again = table.set_index(["path", "step"])["stress"].reindex(straight.index)
    np.testing.assert_allclose(again, straight, rtol=1e-5)


def test_the_prediction_of_a_path_does_not_depend_on_longer_paths(workspace):
    """Padding has no effect; single precision has seven digits, and the sums lose one or two."""
    together = predicted(workspace)
    header, *lines = TABLE.splitlines()
    (workspace / "alone.csv").write_text("\n".join([header, *lines[5:7]]), encoding="utf-8")
    alone = predicted(workspace, "alone.csv")
    assert len(alone) == 2
    expected = together.loc[together["path"] == "c", "stress"]
    np.testing.assert_allclose(alone["stress"], expected, rtol=1e-5)


def test_predicting_needs_no_outputs_and_accepts_npz_and_other_names(workspace):
    straight = predicted(workspace)["stress"].to_numpy()
    table = pd.read_csv(workspace / "tests.csv")
    table.drop(columns=["stress", "heat"]).rename(columns={"strain": "eps"}).to_csv(
        workspace / "other.csv", index=False
    )
    np.testing.assert_allclose(predicted(workspace, "other.csv", "--inputs", "eps")["stress"], straight, rtol=1e-5)
    strain = np.full((4, 3), np.nan)
    for row, (_, path) in zip(strain, table.groupby("path"), strict=True):
        row[: len(path)] = path["strain"]
    np.savez(workspace / "other.npz", strain=strain, lengths=[2, 3, 2, 2])
    np.testing.assert_allclose(predicted(workspace, "other.npz")["stress"], straight, rtol=1e-5)


@pytest.mark.parametrize("command", COMMANDS)
def test_columns_of_path_and_step_may_be_named_on_the_command_line(workspace, refused, command):
    """A prediction has the same names; without the options, the table is refused."""
    (workspace / "named.csv").write_text(TABLE.replace("path", "specimen").replace("step", "time"), encoding="utf-8")
    refused(command("named.csv"), "named.csv", "no column 'path'")
    refused(command("named.csv", "--path-column", "specimen"), "named.csv", "no column 'step'")
    assert main(command("named.csv", "--path-column", "specimen", "--step-column", "time")) == 0
    if command is predict:
        table = pd.read_csv(workspace / "predicted.csv")
        assert list(table.columns) == ["specimen", "time", "stress"]
        assert table["time"].tolist() == [0, 1, 0, 1, 2, 0, 1, 0, 1]


def test_a_prediction_never_replaces_the_column_of_the_paths(workspace, refused):
    """The column of the paths has the name of the output, so the file would lose one of the two."""
    (workspace / "named.csv").write_text(TABLE.replace("stress", "x").replace("path", "stress"), encoding="utf-8")
    refused(predict("named.csv", "--path-column", "stress"), "'stress'")


def test_overwriting_needs_an_option(workspace, capfd):
    (workspace / "predicted.csv").write_text("old", encoding="utf-8")
    assert main(predict("tests.csv", "--overwrite")) == 0
    assert (workspace / "predicted.csv").read_text(encoding="utf-8").startswith("path,step,stress\n")


# ---------------------------------------------------------------------------------------- wrong tables

WRONG_TABLES = {
    "misspelt column": (TABLE.replace("strain", "strian"), ("no column 'strain'", "did you mean 'strian'?")),
    "no path column": (TABLE.replace("path", "specimen"), ("no column 'path'",)),
    "no step column": (TABLE.replace("step", "n"), ("no column 'step'",)),
    "semicolons": (TABLE.replace(",", ";"), ("no column 'path'",)),
    "NaN": (TABLE.replace("5e-4", "NaN"), ("line 5", "'strain' holds 'NaN'")),
    "infinite": (TABLE.replace("9e-4", "inf"), ("line 6", "'strain' holds 'inf'")),
    "too large for a double": (TABLE.replace("9e-4", "1e999"), ("line 6", "'strain' holds '1e999'")),
    "a word": (TABLE.replace("7e-4", "seven"), ("line 8", "'strain' holds 'seven'")),
    "decimal comma": (TABLE.replace("7e-4", '"7,5"'), ("line 8", "'strain' holds '7,5'")),
    "empty cell": (TABLE.replace("1e-4", ""), ("line 3", "'strain' is empty")),
    "step is no number": (TABLE.replace("b,2", "b,last"), ("line 6", "'step' holds 'last'")),
    "path without a label": (TABLE.replace("c,1", ",1"), ("line 8", "'path' is empty")),
    "short line": (TABLE.replace("b,1,5e-4,90,5", "b,1"), ("line 5", "'strain' is empty")),
    "long line": (TABLE.replace("b,1,5e-4", "b,1,5e-4,7"), ("line 5",)),
    "empty": ("", ("the file is empty",)),
    "header alone": (TABLE.splitlines()[0], ("no lines of data",)),
    "step twice": (TABLE.replace("b,2", "b,1"), ("lines 5 and 6", "path 'b' has step 1 twice")),
    "path of one step": (TABLE + "e,0,1e-4,1,2\n", ("path 'e' has 1 step;",)),
    "column twice": (TABLE.replace("heat", "strain"), ("'strain'",)),
    "latin-1": (TABLE.replace("a,0", "\xe9,0").encode("latin-1"), ()),
    "utf-16": (TABLE.encode("utf-16"), ()),
    "random bytes": (np.random.default_rng(0).bytes(500), ()),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("wrong", WRONG_TABLES)
def test_a_wrong_table_is_refused_with_file_line_and_column(workspace, refused, command, wrong):
    content, fragments = WRONG_TABLES[wrong]
    (workspace / "wrong.csv").write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    refused(command("wrong.csv"), "wrong.csv", *fragments)


@pytest.mark.parametrize("command", [train, evaluate])
@pytest.mark.parametrize(
    ("old", "new", "fragments"),
    [
        ("stress", "Stress", ("no column 'stress'", "did you mean 'Stress'?")),
        ("150", "nan", ("line 6", "'stress' holds 'nan'")),
        ("150", "x", ("line 6", "'stress' holds 'x'")),
    ],
)
def test_wrong_outputs_are_refused_by_commands_that_read_outputs(workspace, refused, command, old, new, fragments):
    (workspace / "wrong.csv").write_text(TABLE.replace(old, new), encoding="utf-8")
    refused(command("wrong.csv"), "wrong.csv", *fragments)
    if new != "Stress":
        assert main(predict("wrong.csv")) == 0  # it does not read outputs


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("absent.csv", "No such file or directory"),
        ("absent.npz", "No such file or directory"),
        ("folder.csv", "Is a directory"),
        ("tests.csv/below.csv", "Not a directory"),
        ("tests.txt", "ends in .csv or .npz"),
        ("run", "ends in .csv or .npz"),
        pytest.param("x" * 300 + ".csv", "File name too long", id="too long a name"),
    ],
)
def test_a_path_without_data_is_refused_with_its_name(workspace, refused, command, name, fragment):
    (workspace / "folder.csv").mkdir()
    (workspace / "tests.txt").write_text(TABLE, encoding="utf-8")
    refused(command(name), name, fragment)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("wrong", ["cut", "text", "model", "single array", "objects", "one step", "shapes", "lengths"])
def test_a_wrong_archive_is_refused_with_its_name(workspace, refused, command, wrong):
    file = workspace / "wrong.npz"
    strain = np.linspace(0, 1e-3, 12).reshape(4, 3)
    arrays = {"strain": strain, "stress": 2e5 * strain}
    changes = {
        "objects": {"strain": strain.astype(object)},
        "one step": {"strain": strain[:, :1], "stress": strain[:, :1]},
        "shapes": {"strain": strain[0]},
        "lengths": {"lengths": np.array([3, 3, 4, 3])},
    }
    np.savez(file, **arrays | changes.get(wrong, {}))
    if wrong == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif wrong == "text":
        file.write_text(TABLE, encoding="utf-8")
    elif wrong == "model":
        shutil.copy(MODEL, file)
    elif wrong == "single array":
        with open(file, "wb") as stream:
            np.save(stream, strain)
    refused(command("wrong.npz"), "wrong.npz")


@pytest.mark.parametrize("command", [evaluate, predict])
@pytest.mark.parametrize("number", ["1e39", "-1e300", "1e38"])
def test_numbers_that_the_network_cannot_hold_are_refused(workspace, refused, command, number):
    """All are valid doubles, but not in single precision, in which networks compute: two as read, 1e38 standardised.

    No prediction and no error may be NaN.
    """
    (workspace / "wrong.csv").write_text(TABLE.replace("9e-4", number), encoding="utf-8")
    refused(command("wrong.csv"), "path 'b'")


# ----------------------------------------------------------------------------------- data for training


@pytest.mark.parametrize("column", ["strain", "stress"])
def test_constant_data_are_refused_with_their_name(workspace, refused, column):
    table = pd.read_csv(workspace / "tests.csv")
    table[column] = 0.25
    table.to_csv(workspace / "constant.csv", index=False)
    refused(train("constant.csv"), f"{column} is constant, 0.25 throughout")


def test_numbers_too_large_for_single_precision_are_refused_with_the_name_of_the_column(workspace, refused):
    (workspace / "wrong.csv").write_text(TABLE.replace("e-4", "e+39"), encoding="utf-8")
    refused(train("wrong.csv"), "strain reaches", "too large for float32")


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_paths_to_split_are_refused_with_their_number(workspace, refused, count):
    lines = TABLE.splitlines()[: 1 + 2 * count + (count == 2)]
    (workspace / "few.csv").write_text("\n".join(lines), encoding="utf-8")
    refused(train("few.csv"), f"{count} path", "cannot fill 3 sets")


@pytest.mark.parametrize(
    ("shares", "received"),
    [
        (("0.5", "0.5", "0.5"), "(0.5, 0.5, 0.5)"),
        (("1", "0", "0"), "(1.0, 0.0, 0.0)"),
        (("1.5", "-0.25", "-0.25"), "(1.5, -0.25, -0.25)"),
        (("nan", "0.5", "0.5"), "(nan, 0.5, 0.5)"),
    ],
)
def test_shares_that_do_not_sum_to_one_are_refused(refused, shares, received):
    refused(train("tests.csv", "--split", *shares), received)


@pytest.mark.parametrize(
    ("columns", "fragments"),
    [
        (("--inputs", "strain", "--outputs", "strain"), ("strain is named more than once",)),
        (("--inputs", "heat", "heat", "--outputs", "stress"), ("heat is named more than once",)),
        (("--inputs", "temperature", "--outputs", "stress"), ("no column 'temperature'",)),
        (("--inputs", "strain", "--outputs", "stres"), ("no column 'stres'", "did you mean 'stress'?")),
    ],
)
def test_wrong_columns_are_refused_with_their_name(refused, columns, fragments):
    refused(train("tests.csv", *columns), "tests.csv", *fragments)


@pytest.mark.parametrize("missing", ["--inputs", "--outputs"])
def test_data_without_named_columns_are_refused(refused, missing):
    command = train()
    at = command.index(missing)
    refused(command[:at] + command[at + 2 :], "tests.csv", "inputs and the outputs")


# -------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("setting", "fragments"),
    [
        (("--epochs", "0"), ("epochs", "0")),
        (("--epochs", "-3"), ("epochs", "-3")),
        (("--batch-size", "0"), ("batch_size", "0")),
        (("--batch-size", "-16"), ("batch_size", "-16")),
        (("--learning-rate", "0"), ("learning_rate", "0.0")),
        (("--learning-rate", "-0.001"), ("learning_rate", "-0.001")),
        (("--learning-rate", "nan"), ("learning_rate", "nan")),
        (("--learning-rate", "inf"), ("learning_rate", "inf")),
        (("--seed", "-1"), ("seed", "-1")),
        (("--early-stopping", "0"), ("early_stopping", "0")),
        (("--units", "0"), ("units", "0")),
        (("--units", "-4"), ("units", "-4")),
        (("--depth", "0"), ("depth", "0")),
        (("--population", "0"), ("population", "0")),
        (("--surrogate", "arctan"), ("surrogate", "'arctan'", "atan")),
    ],
)
@pytest.mark.parametrize("command", [train, train_task])
def test_settings_out_of_range_are_refused_with_their_name(refused, command, setting, fragments):
    arguments = command("tests.csv", *setting) if command is train else command(*setting)
    refused(arguments, *fragments)


@pytest.mark.parametrize("timesteps", ["1", "0", "-5"])
def test_paths_of_fewer_than_two_steps_are_refused(refused, timesteps):
    refused(train_task("--timesteps", timesteps), f"timesteps={timesteps}")


def test_a_population_that_cannot_be_averaged_evenly_is_refused(refused):
    columns = ("--inputs", "strain", "--outputs", "stress", "heat")
    refused(train("tests.csv", *columns, "--population", "3"), "population of 3", "2 outputs", "multiple of 2")


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (train_task("--kind", "liff"), ("--kind", "'liff'", "'lif'")),
        (train_task("--reset", "never"), ("--reset", "'never'")),
        (train_task("--readout", "mean"), ("--readout", "'mean'")),
        (train_task("--task", "elastisity"), ("--task", "'elastisity'", "'elasticity'")),
        (train_task("--epochs", "many"), ("--epochs", "'many'")),
        (train_task("--epochs", "1.5"), ("--epochs", "'1.5'")),
        (train_task("--seed", "x"), ("--seed", "'x'")),
        (train_task("--learning-rate", "fast"), ("--learning-rate", "'fast'")),
        (train_task("--no-such-option"), ("--no-such-option",)),
        (train_task("--data", "tests.csv"), ("--task", "--data")),
        (["train", "--task", "elasticity"], ("--out",)),
        (["train", "--out", "new"], ("--task", "--data")),
        (train("tests.csv", "--split", "0.7", "0.3"), ("--split",)),
        (["evaluate", "--data", "tests.csv"], ("MODEL",)),
        (["evaluate", MODEL], ("--data",)),
        (["predict", MODEL, "--input", "tests.csv"], ("--output",)),
        (["predict", MODEL, "--output", "predicted.csv"], ("--input",)),
        (["practise"], ("'practise'", "'train'")),
        (["--verbose"], ("COMMAND",)),
    ],
)
def test_arguments_that_cannot_be_read_are_refused_in_one_line(workspace, capfd, arguments, fragments):
    before = tree(workspace)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    captured = capfd.readouterr()
    assert caught.value.code == 2
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert "error: " in captured.err
    for fragment in fragments:
        assert fragment in captured.err
    assert tree(workspace) == before


# ---------------------------------------------------------------------------------------------- models


@pytest.mark.parametrize("command", [evaluate, predict])
@pytest.mark.parametrize(
    ("columns", "fragments"),
    [
        (("--inputs", "strain", "heat"), ("takes 1 input", "2", "strain, heat")),
        (("--inputs", "temperature"), ("tests.csv", "no column 'temperature'")),
        (("--inputs", "strain", "strain"), ("tests.csv", "strain is named more than once")),
    ],
)
def test_inputs_that_do_not_fit_the_model_are_refused(refused, command, columns, fragments):
    refused(command("tests.csv", *columns), *fragments)


def test_outputs_that_do_not_fit_the_model_are_refused(refused):
    refused(evaluate("tests.csv", "--outputs", "stress", "heat"), "gives 1 output", "2 targets", "stress, heat")


def test_predict_has_no_option_for_outputs(workspace, capfd):
    with pytest.raises(SystemExit):
        main(predict("tests.csv", "--outputs", "stress"))
    assert "--outputs" in capfd.readouterr().err


@pytest.mark.parametrize("command", [evaluate, predict])
def test_paths_of_another_length_than_that_of_the_model_are_refused(workspace, refused, command):
    network = kspike_reg.build("lif", units=3, population=2, depth=1, timesteps=7)
    sides = (Standardiser((0.0,), (1e-3,), ("strain",)), Standardiser((1.0,), (50.0,), ("stress",)))
    saving.save(physical.in_physical_units(network, *sides), workspace / "seven.keras")
    refused(command(model="seven.keras"), "7 steps", "3")


@pytest.mark.parametrize("command", [evaluate, predict])
@pytest.mark.parametrize(
    "name",
    [
        "absent.keras",
        "folder.keras",
        "text.keras",
        "empty.keras",
        "tests.csv",
        "model.txt",
        "run",
        pytest.param("x" * 300 + ".keras", id="too long a name"),
    ],
)
def test_a_file_that_is_not_a_model_is_refused_with_its_name(workspace, refused, command, name):
    (workspace / "folder.keras").mkdir()
    (workspace / "text.keras").write_text("no model\n" * 50, encoding="utf-8")
    (workspace / "empty.keras").touch()
    shutil.copy(MODEL, workspace / "model.txt")
    refused(command(model=name), name, ".keras")


@pytest.mark.parametrize("command", [evaluate, predict])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999, -1])
def test_a_truncated_model_is_refused_with_its_name(workspace, refused, command, share):
    content = (workspace / MODEL).read_bytes()
    length = len(content) - 1 if share < 0 else int(share * len(content))
    assert 0 < length < len(content)
    (workspace / "cut.keras").write_bytes(content[:length])
    refused(command(model="cut.keras"), "cut.keras")


def rewritten(model, file, change):
    """A copy of a model file, a valid ZIP file, with changed contents."""
    with zipfile.ZipFile(model) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(file, "w") as new:
        for name, content in change(members).items():
            new.writestr(name, content)


@pytest.mark.parametrize("command", [evaluate, predict])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda members: {}, id="empty"),
        pytest.param(lambda members: {"notes.txt": "hello"}, id="other contents"),
        pytest.param(lambda members: members | {"config.json": "{"}, id="half a configuration"),
        pytest.param(lambda members: members | {"config.json": "{}"}, id="an empty configuration"),
        pytest.param(
            lambda members: (
                members | {"config.json": members["config.json"].replace(b"kspike_reg>LIF", b"elsewhere>X")}
            ),
            id="a layer from elsewhere",
        ),
        pytest.param(
            lambda members: {name: content for name, content in members.items() if "weights" not in name},
            id="no weights",
        ),
        pytest.param(
            lambda members: members | {"model.weights.h5": members["model.weights.h5"][:5000]}, id="half the weights"
        ),
    ],
)
def test_a_damaged_model_is_refused_with_its_name(workspace, refused, command, change):
    rewritten(MODEL, "damaged.keras", change)
    refused(command(model="damaged.keras"), "damaged.keras")


@pytest.mark.parametrize("command", [evaluate, predict])
def test_a_wrong_byte_in_the_weights_is_found(workspace, refused, command):
    content = bytearray((workspace / MODEL).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (workspace / "damaged.keras").write_bytes(content)
    refused(command(model="damaged.keras"), "damaged.keras")


@pytest.mark.parametrize("command", [evaluate, predict])
def test_a_model_that_would_run_code_is_refused(workspace, refused, command):
    model = keras.Sequential([keras.Input((None, 1)), keras.layers.Lambda(lambda x: 2 * x)])
    model.save(workspace / "foreign.keras")
    refused(command(model="foreign.keras"), "foreign.keras")


@pytest.mark.parametrize("command", [evaluate, predict])
def test_a_model_without_scaling_is_refused_with_the_fix(workspace, refused, command):
    keras.Sequential([keras.Input((None, 1)), keras.layers.Dense(1)], name="foreign").save(workspace / "foreign.keras")
    refused(command(model="foreign.keras"), "foreign", "carries no scaling", "kspike-reg train")


# -------------------------------------------------------------------------------------------- outputs


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param("tests.csv", id="a file"),
        pytest.param("tests.csv/new", id="below a file"),
        pytest.param("tests.csv/new/first", id="two below a file"),
        pytest.param("x" * 300, id="too long a name"),
        pytest.param("fresh/" + "x" * 300, id="too long a name in a new folder"),
    ],
)
@pytest.mark.parametrize("command", [train, train_task])
def test_a_folder_that_cannot_be_written_to_is_refused_before_training(refused, command, folder):
    arguments = command("tests.csv", "--out", folder) if command is train else command("--out", folder)
    refused(arguments, folder)


@pytest.mark.parametrize(
    "output",
    [
        pytest.param("tests.csv/predicted.csv", id="below a file"),
        pytest.param("absent/predicted.csv", id="in an absent folder"),
        pytest.param("x" * 300 + ".csv", id="too long a name"),
        pytest.param("", id="no name"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_with_its_name(refused, output):
    refused(predict("tests.csv", "--output", output), output)
    refused(predict("tests.csv", "--output", output, "--overwrite"), output)


def test_an_existing_output_is_refused_and_not_changed(workspace, refused):
    (workspace / "predicted.csv").write_text("precious", encoding="utf-8")
    refused(predict(), "predicted.csv", "exists already", "--overwrite")
    refused(predict("tests.csv", "--output", "tests.csv"), "tests.csv", "exists already")
    refused(predict("tests.csv", "--output", "run"), "run", "exists already")


def test_a_folder_is_refused_as_output_file_even_with_overwrite(refused):
    refused(predict("tests.csv", "--output", "run", "--overwrite"), "run")


def test_a_refused_prediction_does_not_overwrite_a_file(workspace, refused):
    (workspace / "predicted.csv").write_text("precious", encoding="utf-8")
    (workspace / "wrong.csv").write_text(TABLE.replace("5e-4", "NaN"), encoding="utf-8")
    refused(predict("wrong.csv", "--overwrite"), "wrong.csv", "line 5")


@pytest.mark.parametrize(
    ("more", "fragments"),
    [
        (("--epochs", "2"), ("epochs=1 instead of epochs=2",)),
        (("--units", "4", "--seed", "7"), ("units=3, seed=0 instead of units=4, seed=7",)),
        (("--kind", "slstm"), ("kind='lif' instead of kind='slstm'",)),
    ],
)
def test_the_folder_of_another_run_is_refused_with_the_difference(refused, more, fragments):
    refused(train_task("--out", "run", *more), "run: holds a run of another configuration", *fragments)


def test_a_run_on_data_refuses_the_folder_of_a_run_on_a_task(refused):
    refused(train("tests.csv", "--out", "run"), "run: holds a run of another configuration", "task='elasticity'")


@pytest.mark.parametrize("name", ["model.keras", "metrics.json", "history.csv", "loss.png"])
def test_a_folder_with_files_of_a_run_but_without_its_record_is_refused(workspace, refused, name):
    (workspace / "new").mkdir()
    (workspace / "new" / name).write_text("precious", encoding="utf-8")
    refused(train_task(), "new", name)


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", "text", '{"task": "elasticity"}'])
def test_a_damaged_record_of_a_run_is_refused_with_its_name(workspace, refused, content):
    (workspace / "run" / "configuration.json").write_text(content, encoding="utf-8")
    refused(train_task("--out", "run"), "run")


@pytest.mark.parametrize("content", ["", "{", "null", "[]", "{}"])
def test_damaged_metrics_of_a_finished_run_are_refused_with_their_name(workspace, refused, content):
    (workspace / "run" / "metrics.json").write_text(content, encoding="utf-8")
    refused(train_task("--out", "run"), "metrics.json")


@pytest.mark.parametrize("content", ["", "text", "array", "cut"])
def test_a_damaged_snapshot_of_a_killed_run_is_refused_with_its_name(workspace, refused, content):
    """A full disk or another program may damage it; the run itself replaces it atomically."""
    snapshot = workspace / "run" / "snapshot.npz"
    (workspace / "run" / "metrics.json").unlink()
    if content == "array":
        with open(snapshot, "wb") as stream:
            np.save(stream, np.ones(3))
    elif content == "cut":
        np.savez(snapshot, epochs_done=1, latest_0=np.ones(100))
        snapshot.write_bytes(snapshot.read_bytes()[:-50])
    else:
        snapshot.write_text(content, encoding="utf-8")
    refused(train_task("--out", "run"), "snapshot.npz")


def test_the_undamaged_record_of_the_run_is_accepted(workspace):
    """Guard of the tests above: without damage, the command reports the finished run and does not repeat it."""
    before = tree(workspace)
    assert main(train_task("--out", "run")) == 0
    assert tree(workspace) == before
    assert json.loads((workspace / "run" / "configuration.json").read_text(encoding="utf-8"))["task"] == "elasticity"
