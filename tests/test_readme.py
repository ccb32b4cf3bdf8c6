"""The README's figures are those of the recorded runs, and its examples run."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from kspike_reg import cli
from kspike_reg.experiments import Configuration, recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DEMO, PAPER = (json.loads((ROOT / "docs" / name / "metrics.json").read_text()) for name in ("demo", "paper_settings"))


def error(of, steps):
    return of["errors"]["standardised"]["mean_relative_error"][steps]


def block(name):
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.DOTALL)[1].strip()


def demo_block(capsys):
    """What the command line prints of the recorded demo."""
    cli.print_report(DEMO["test"], DEMO["data"]["units"], untrained=DEMO["untrained"])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    return "\n".join(["```", *lines, "```"]).replace("```\n\n", "```\n")


def results_block():
    """The README's table of results from the recorded runs."""
    rows = ["| | all steps | last step | updates | time |", "|---|---|---|---|---|"]
    untrained = DEMO["untrained"]
    rows.append(f"| untrained | {error(untrained, 'all'):.3f} | {error(untrained, 'last'):.3f} | 0 | |")
    for name, run in (("`make demo`", DEMO), ("`kspike-reg train --task elasticity`, the paper's settings", PAPER)):
        epochs, batch = run["training"]["epochs"], run["configuration"]["batch_size"]
        updates = epochs * -(-run["data"]["paths"]["training"] // batch)
        rows.append(
            f"| {name}: {epochs} epochs, batches of {batch} | {error(run['test'], 'all'):.2e} | "
            f"{error(run['test'], 'last'):.2e} | {updates} | {run['training']['seconds'] / 60:.1f} min |"
        )
    return "\n".join(rows)


def test_the_readme_shows_what_the_demo_prints(capsys):
    assert block("demo") == demo_block(capsys)


def test_the_readme_shows_the_recorded_results():
    assert block("results") == results_block()


def test_the_demo_is_good_enough():
    assert error(DEMO["untrained"], "all") == pytest.approx(1, abs=0.1)  # knows nothing, says about zero
    assert error(DEMO["test"], "all") < 2.66e-2  # the authors' own network at the paper's settings


def test_the_recorded_runs_have_the_settings_that_the_makefile_gives():
    makefile = (ROOT / "Makefile").read_text()
    epochs = int(re.search(r"^EPOCHS \?= (\d+)$", makefile, re.MULTILINE)[1])
    command = re.search(r"^\t.*kspike-reg (train .*) --epochs \$\(EPOCHS\)", makefile, re.MULTILINE)[1].split()
    options = cli._parser().parse_args([*command, "--epochs", str(epochs), "--out", "runs"])
    expected = asdict(Configuration(**(recipe(options.recipe, options.kind) | cli._settings(options))))
    assert DEMO["configuration"] == json.loads(json.dumps(expected))
    paper = PAPER["configuration"]
    assert (paper["epochs"], paper["batch_size"], paper["learning_rate"], paper["units"]) == (2000, 1024, 1e-3, 128)


def test_the_examples_run(tmp_path, monkeypatch):
    """Every Python block, in order, in one place, after a run as short as can be."""
    monkeypatch.chdir(tmp_path)
    train = ["train", "--task", "elasticity", "--epochs", "1", "--units", "3", "--population", "2"]
    assert cli.main([*train, "--out", "runs/elasticity"]) == 0
    names = {}
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    for example in examples:
        exec(compile(example, "README.md", "exec"), names)
    assert len(examples) == 2
    assert names["stress"].shape == (1024, 5, 1)
    assert names["model"].output_shape == (None, None, 3)
