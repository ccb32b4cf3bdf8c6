"""A whole run on data that attack it: names that mean something elsewhere, an offset, nanoseconds, a pipe."""

import csv
import os
import shlex
import threading

import keras
import numpy as np
import pytest

from kspike_reg import load
from kspike_reg.cli import main
from kspike_reg.cli.parser import build_parser
from kspike_reg.datasets import read
from kspike_reg.escape import markdown_text
from kspike_reg.evaluation import evaluate

TIME, STRAIN, STRESS = r"$\bad{$ time", "--a|b`<b>_*", "[red]Δ' \"$x$\n{: .c}"
NANOSECONDS = 1_700_000_000_000_000_000
SETTINGS = ("--kind", "lif", "--units", "4", "--population", "2", "--depth", "1", "--epochs", "2")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of `kspike-reg train` on a pipe: 30 paths, seconds since 1970 as an input, steps in nanoseconds."""
    folder = tmp_path_factory.mktemp("attacked")
    generator = np.random.default_rng(8)
    with open(folder / "paths.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "step", TIME, STRAIN, STRESS])
        for path in range(30):
            start, slope = 1_700_000_000 + 2000 * generator.random(), generator.normal()
            for step in range(6):
                time, strain = start + step, slope * step
                table.writerow([f"p|{path}", NANOSECONDS + step, time, strain, np.tanh(strain) + (time - 1.7e9) / 2000])
    os.mkfifo(folder / "pipe")
    threading.Thread(
        target=(folder / "pipe").write_bytes, args=[(folder / "paths.csv").read_bytes()], daemon=True
    ).start()
    # argparse takes what begins with dashes for an option, unless it is joined to one.
    names = (f"--inputs={STRAIN}", "--outputs", STRESS)
    data = ("--data", str(folder / "pipe"))
    assert main(["train", *data, *names, *SETTINGS, "--out", str(folder / "piped")]) == 0
    data = ("--data", str(folder / "paths.csv"), "--inputs", TIME, "--outputs", STRESS)
    assert main(["train", *data, *SETTINGS, "--out", str(folder / "timed")]) == 0
    return folder


@pytest.mark.attack("Names", "a whole run with hostile names of columns")
def test_a_run_with_hostile_names_ends_with_its_figures_and_a_card_that_shows_them(finished):
    for run, name in (("piped", STRAIN), ("timed", TIME)):
        assert (finished / run / "predictions.png").stat().st_size > 10_000
        card = (finished / run / "card.md").read_text(encoding="utf-8")
        assert f"- {markdown_text(name)}, from" in card
        assert "<b>" not in card.partition("## Training")[0]


@pytest.mark.attack("Names", "a whole run with hostile names of columns")
def test_the_command_of_the_card_trains_the_same_network(finished):
    card = (finished / "timed" / "card.md").read_text(encoding="utf-8")
    command = card.partition("## Training\n\n```\n")[2].partition("\n```\n")[0]
    words = shlex.split(command)
    options = build_parser().parse_args(words[1:])
    assert (options.inputs, options.outputs) == ([TIME], [STRESS])
    assert options.data == str(finished / "paths.csv")


@pytest.mark.attack("Files", "data from named pipes and standard input")
def test_a_run_on_a_pipe_records_the_hash_of_its_data(finished, capfd):
    """The same data again are the same run; others are not."""
    command = ["train", "--data", str(finished / "pipe"), f"--inputs={STRAIN}", "--outputs", STRESS, *SETTINGS]
    for content, status in (((finished / "paths.csv").read_bytes(), 0), (None, 2)):
        given = content or (finished / "paths.csv").read_bytes().replace(b"p|29", b"p|x")
        threading.Thread(target=(finished / "pipe").write_bytes, args=[given], daemon=True).start()
        assert main([*command, "--out", str(finished / "piped")]) == status
    assert "data_sha256" in capfd.readouterr().err


@pytest.mark.attack("Data", "columns far from zero, such as seconds since 1970")
def test_the_saved_network_is_as_good_as_the_trained_one(finished):
    """The validation loss of training is the squared error that the saved model makes on standardised data."""
    history = (finished / "timed" / "history.csv").read_text(encoding="utf-8").splitlines()
    places = history[0].split(",").index("val_loss")
    best = min(float(line.split(",")[places]) for line in history[1:])
    paths = read(finished / "paths.csv", [TIME], [STRESS]).split((0.7, 0.15, 0.15), 0)[1]
    model = load(finished / "timed" / "model.keras")
    assert keras.backend.standardize_dtype(model.inputs[0].dtype) == "float64"
    errors = evaluate(model, paths, outside="ignore")["errors"]["standardised"]
    assert errors["root_mean_squared_error"]["all"] ** 2 == pytest.approx(best, rel=1e-4)


@pytest.mark.attack("Data", "steps in nanoseconds since 1970")
def test_predictions_name_the_steps_of_their_input(finished):
    run = str(finished / "timed" / "model.keras")
    output = finished / "predicted.csv"
    assert main(["predict", run, "--input", str(finished / "paths.csv"), "--output", str(output)]) == 0
    with open(output, newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == ["path", "step", STRESS]
    assert [row[1] for row in rows[:7]] == [str(NANOSECONDS + step % 6) for step in range(7)]
