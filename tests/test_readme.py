"""The numbers in the README and in the pages are those of the recorded runs."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from kspike_reg import cli
from kspike_reg.cli.display import print_report
from kspike_reg.cli.options import settings_of
from kspike_reg.datasets import TASKS
from kspike_reg.experiments import Configuration, recipe

ROOT = Path(__file__).parents[1]
README, QUICK_START, RESULTS, ENERGY, SPEED = (
    (ROOT / name).read_text()
    for name in ("README.md", "docs/quickstart.md", "docs/results.md", "docs/energy.md", "docs/speed.md")
)
DEMO, PAPER = (json.loads((ROOT / "docs" / name / "metrics.json").read_text()) for name in ("demo", "paper_settings"))


def error(of, steps):
    return of["errors"]["standardised"]["mean_relative_error"][steps]


def block(page, name):
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", page, re.DOTALL)[1].strip()


def demo_block(capsys):
    """The output of the command line for the recorded demo."""
    print_report(DEMO["test"], DEMO["data"]["units"], untrained=DEMO["untrained"])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    return "\n".join(["```", *lines, "```"]).replace("```\n\n", "```\n")


# The errors in the paper, eq. 14, for all steps and for the last step (sections III-B and IV-B).
PAPERS = {
    "rlif-ramberg-osgood": (8.7934e-2, 8.0200e-2),
    "slstm-hardening": (9.3832e-2, 4.0497e-3),
    "lstm-hardening": (4.8611e-2, 4.7569e-3),
}


def overview_block():
    """The table in the README: the problem and the error of each trained network."""
    rows = [
        "| problem | network | error / % | paper's error / % | spikes per neuron and step | training time |",
        "|---|---|---|---|---|---|",
    ]
    words = {"ramberg-osgood": "Ramberg-Osgood curves"}
    for name in ("lif-elasticity", *PAPERS, "slstm-cyclic-hardening"):
        metrics = json.loads((ROOT / "models" / name / "metrics.json").read_text())
        task = metrics["configuration"]["task"]
        steps = metrics["configuration"]["timesteps"] or TASKS[task].timesteps
        family = {"cyclic": ", cyclic paths", "mirror": ", mirrored ramps"}.get(metrics["configuration"]["family"], "")
        rates = metrics["test"]["spike_rates"].values()
        cells = [
            f"{words.get(task, task)}{family}, {steps} steps",
            f"`{name}`",
            f"{100 * error(metrics['test'], 'all'):.1f}",
            f"{100 * PAPERS[name][0]:.1f}" if name in PAPERS else "",
            f"{sum(rates) / len(rates):.2f}" if rates else "",
            f"{metrics['training']['seconds'] / 60:.0f} min",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def models_block():
    """The table of the trained networks, from their metrics."""
    rows = [
        "| network | parameters | error, all steps | error, last step | RMSE / deviations | RMSE / MPa | training "
        "time |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in ("lif-elasticity", *PAPERS, "slstm-cyclic-hardening"):
        metrics = json.loads((ROOT / "models" / name / "metrics.json").read_text())
        test = metrics["test"]
        papers = [f" ({error:.2e})" for error in PAPERS[name]] if name in PAPERS else ["", ""]
        errors = [f"{error(test, steps):.2e}{of}" for steps, of in zip(("all", "last"), papers, strict=True)]
        squares = [test["errors"][space]["root_mean_squared_error"]["all"] for space in ("standardised", "physical")]
        cells = [f"`{name}`", str(test["parameters"]), *errors, f"{squares[0]:.2e}", f"{squares[1]:.2f}"]
        rows.append(f"| {' | '.join(cells)} | {metrics['training']['seconds'] / 60:.0f} min |")
    return "\n".join(rows)


def cyclic_block():
    """The table of the comparison on cyclic paths, from its record."""
    record = json.loads((ROOT / "docs" / "studies" / "cyclic" / "results.json").read_text())
    rows = ["| network | parameters | RMSE / deviations, mean of five seeds |", "|---|---|---|"]
    for row in record["summary"]:
        spread = f" ± {row['its deviation over the seeds']:.3f}" if row["seeds"] else ""
        rows.append(f"| {row['network']} | {row['parameters']} | {row['RMSE / deviations']:.3f}{spread} |")
    return "\n".join(rows)


def energy_block():
    """The table of reduction factors, from the recorded tables."""
    tables = json.loads((ROOT / "profiling" / "results" / "energy" / "energy.json").read_text())["tables"]
    shown = {
        "paper's convention": "as the paper counts",
        "corrected convention": "a multiply-accumulate is two operations",
        "V100 in single precision": "instead: the GPU in single precision",
        "both in 45 nm CMOS": "instead: both in 45 nm CMOS, single precision",
    }
    factors, rates = {}, {}
    for row in tables["corrections"]["rows"]:
        factors.setdefault(row["network"], {})[row["counting"]] = row["times less"]
    for row in tables["break_even"]["rows"]:
        if (row["spiking on"], row["dense, and real values, on"]) == ("loihi", "v100_fp16"):
            rates[row["network"]] = (row["break-even spikes per neuron and step"], row["this network's"])
    rows = [
        f"| network | {' | '.join(shown)} | break-even spike rate | measured spike rate |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, of in factors.items():
        numbers = [f"{of[counting]:.2g}" for counting in shown.values()] + [f"{rate:.2f}" for rate in rates[name]]
        rows.append(f"| `{name}` | {' | '.join(numbers)} |")
    return "\n".join(rows)


# The sizes for which there are targets of speed.
PROMISED = (
    ("lif", 128, 20, 1024),
    ("lif", 128, 100, 1024),
    ("rlif", 128, 20, 1024),
    ("rlif", 128, 100, 1024),
    ("slstm", 128, 100, 256),
)


PEERS = {"snntorch": "snnTorch", "spikingjelly": "SpikingJelly", "norse": "Norse"}


def speed_block():
    """Median ratios for these sizes: to the matrix products, to Keras's loop, to the fastest other package."""
    cases = {
        (case["kind"], case["units"], case["steps"], case["batch"]): case
        for case in json.loads((ROOT / "profiling" / "results" / "speed" / "speed.json").read_text())["rounds"]
    }
    rows = [
        "| network, units x steps x paths | training / matrix products | inference / matrix products | training "
        "speed-up over Keras's loop | training speed-up over the fastest peer | inference speed-up over the fastest "
        "peer |",
        "|---|---|---|---|---|---|",
    ]
    for size in PROMISED:
        of = {mode: cases[size][mode] for mode in ("training", "inference")}
        to_matmul = {
            mode: {
                name: of[mode]["implementations"][name]["relative to matmul"]["median"]
                for name in ("kspike_reg", "naive")
            }
            for mode in of
        }
        cells = [f"`{size[0]}`, {' x '.join(map(str, size[1:]))}"]
        cells += [f"{to_matmul[mode]['kspike_reg']:.1f}" for mode in of]
        cells += [f"{to_matmul['training']['naive'] / to_matmul['training']['kspike_reg']:.1f}"]
        cells += [
            f"{of[mode]['times faster than it']['median']:.1f} ({PEERS[of[mode]['fastest peer']]})"
            if of[mode]["fastest peer"]
            else ""
            for mode in of
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


@pytest.mark.parametrize("page", [README, SPEED])
def test_the_readme_shows_how_fast_it_is(page):
    assert block(page, "speed") == speed_block()


def first_steps_block():
    """Time of the first call and memory of a training step on the longest paths."""
    record = json.loads((ROOT / "profiling" / "results" / "speed" / "speed.json").read_text())
    rows = [
        "| network, units x steps x paths | first step on a machine / s | first step of a process / s | memory / GiB | "
        "memory with `recompute` / GiB | memory of Keras's loop / GiB |",
        "|---|---|---|---|---|---|",
    ]
    found = {}
    for row in record["fresh"]:
        found.setdefault((row["kind"], row["units"], row["steps"], row["batch"]), {})[row["implementation"]] = row
    for size, of in found.items():
        if size[2] == 100:
            seconds = [of[name]["first / s"] for name in ("kspike_reg, empty cache", "kspike_reg")]
            peaks = [of[name]["peak / MiB"] / 1024 for name in ("kspike_reg", "kspike_reg recomputed", "naive")]
            numbers = [f"{each:.0f}" for each in seconds] + [f"{each:.1f}" for each in peaks]
            rows.append(f"| `{size[0]}`, {' x '.join(map(str, size[1:]))} | {' | '.join(numbers)} |")
    return "\n".join(rows)


def test_the_page_on_speed_shows_first_calls_and_memory():
    assert block(SPEED, "first steps") == first_steps_block()


def test_the_readme_shows_the_trained_networks():
    assert block(README, "overview") == overview_block()


def test_the_quick_start_shows_the_output_of_the_demo(capsys):
    assert block(QUICK_START, "demo") == demo_block(capsys)


def test_the_results_show_the_trained_networks():
    assert block(RESULTS, "models") == models_block()


def test_the_results_show_the_comparison_on_cyclic_paths():
    assert block(RESULTS, "cyclic") == cyclic_block()


def test_the_page_on_energy_shows_the_reduction_factors():
    assert block(ENERGY, "energy") == energy_block()


def test_the_results_state_the_error_without_memory():
    record = json.loads((ROOT / "docs" / "studies" / "cyclic" / "results.json").read_text())
    floor = record["summary"][-1]["RMSE / deviations"]
    assert f"is off by {floor:.2f} standard deviations" in " ".join(RESULTS.split())


def test_the_results_state_the_error_with_the_papers_settings():
    reached = f"reaches {error(PAPER['test'], 'all'):.2e} in {PAPER['training']['seconds'] / 60:.0f} minutes"
    assert reached in " ".join(RESULTS.split())


def test_the_demo_is_good_enough():
    assert error(DEMO["untrained"], "all") == pytest.approx(1, abs=0.1)  # an untrained network predicts about zero
    assert error(DEMO["test"], "all") < 2.66e-2  # the authors' own network at the paper's settings


def test_the_recorded_runs_have_the_settings_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    epochs = int(re.search(r"^EPOCHS \?= (\d+)$", makefile, re.MULTILINE)[1])
    command = re.search(r"^\t.*kspike-reg (train .*) --epochs \$\(EPOCHS\)", makefile, re.MULTILINE)[1].split()
    options = cli.build_parser().parse_args([*command, "--epochs", str(epochs), "--out", "runs"])
    expected = asdict(Configuration(**(recipe(options.recipe, options.kind) | settings_of(options))))
    assert DEMO["configuration"] == json.loads(json.dumps(expected))
    paper = PAPER["configuration"]
    assert (paper["epochs"], paper["batch_size"], paper["learning_rate"], paper["units"]) == (2000, 1024, 1e-3, 128)


def test_the_page_on_hardware_states_the_measurements():
    page = " ".join((ROOT / "docs" / "hardware.md").read_text().split())
    results = ROOT / "profiling" / "results"
    rows = json.loads((results / "bridges.json").read_text())["results"]
    for simulator in ("nengo", "nengo-dl"):
        own = [row for row in rows if row["simulator"] == simulator]
        steps, different = (sum(row[name] for row in own) for name in ("neuron_steps", "different"))
        paths = sum(row["paths_with_a_difference"] for row in own)
        assert f"Of {steps / 1e6:.0f} million neuron-steps on each, {different} differ, all in one path" in page
        assert paths == 1
        assert not any(row["clear_different"] for row in own)
        assert 0.25 < max(row["largest_output_deviation"] for row in own) < 0.3
    (loihi,) = json.loads((results / "loihi.json").read_text())["results"]
    ratio = loihi["report"]["ratio"]["mean_relative_error"]["all"]
    assert f"The error of `{loihi['network']}` is {ratio:.3f} times as large on the emulator" in page
