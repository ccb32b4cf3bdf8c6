"""The guide to extending the package, applied literally to a copy of the package: new files and added lines."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
# Blocks of the guide that name a file.
BLOCK = re.compile(r"^```(python|diff) title=\"([^\"]+)\"\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the guide is applied once")


def apply(root, kinds):
    """Apply the blocks of some sections; returns the new files, and the added lines by file."""
    new, added = [], {}
    sections = re.split(r"^## ", GUIDE, flags=re.MULTILINE)
    for section in sections:
        if section.splitlines()[0] not in kinds:
            continue
        for language, name, text in BLOCK.findall(section):
            file = root / name
            if language == "python":
                assert not file.exists(), f"the guide calls {name} new"
                # An example inside a docstring is fenced as "py", so that it does not end the block.
                file.write_text(text.replace("```py\n", "```python\n"), encoding="utf-8")
                new.append(name)
                continue
            context = "".join(f"{line[1:]}\n" for line in text.splitlines() if line[:1] == " ")
            whole = "".join(f"{line[1:]}\n" for line in text.splitlines())
            before = file.read_text(encoding="utf-8")
            assert before.count(context) == 1, f"the guide's context is not found once in {name}: {context!r}"
            file.write_text(before.replace(context, whole), encoding="utf-8")
            added[name] = [line[1:].strip() for line in text.splitlines() if line[:1] == "+"]
    return new, added


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """Copies of the package and its conformance tests: one with the neuron of the guide, one also with its kernel."""
    places = {}
    for name, kinds in {
        "neuron": ("A neuron", "A study"),
        "kernel": ("A neuron", "A kernel for the compiled engine"),
    }.items():
        root = tmp_path_factory.mktemp(name)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "kspike_reg", root / "kspike_reg", ignore=ignore)
        for folder in ("conformance", "oracles"):
            shutil.copytree(ROOT / "tests" / folder, root / "tests" / folder, ignore=ignore)
        shutil.copy(ROOT / "tests" / "conftest.py", root / "tests" / "conftest.py")
        places[name] = root, apply(root, kinds)
    return places


def run(root, *arguments, stdin=None):
    """Run Python in a copy; returns its output."""
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_neuron_is_one_file_one_line_and_one_row(extended):
    _, (new, added) = extended["neuron"]
    assert [name for name in new if "neurons" in name] == ["kspike_reg/neurons/adaptive_lif.py"]
    assert {name: len(lines) for name, lines in added.items()} == {
        "kspike_reg/neurons/registry.py": 1,
        "tests/conformance/table.py": 1,
        "kspike_reg/experiments/studies/__init__.py": 1,
    }


USE = """
import json, sys
import keras, numpy as np
import kspike_reg
from kspike_reg import InputError, datasets, energy, evaluation, neurons, plotting
from kspike_reg.network import in_physical_units
from kspike_reg.neurons import engines

model = kspike_reg.build("adaptive_lif", units=6, population=4, depth=2, seed=3)
generator = np.random.default_rng(0)
inputs = generator.normal(0.3, 1.0, (5, 9, 1)).astype("float32")
for layer in model.layers[1:3]:
    layer.cell.threshold.assign(np.linspace(0.2, 0.4, 6))
    layer.cell.decay.assign(np.linspace(0.5, 0.9, 6))
found = {}

# The oracle: the equations, number by number.
def trace(cell, values):
    kernel, bias, decay, threshold = (np.array(w) for w in (cell.kernel, cell.bias, cell.decay, cell.threshold))
    membrane = spikes = adaptation = np.zeros((len(values), cell.units))
    states = []
    for step in range(values.shape[1]):
        adaptation = cell.adaptation_decay * adaptation + spikes
        level = threshold + cell.strength * adaptation
        membrane = decay * membrane + values[:, step] @ kernel + bias - level * spikes
        spikes = (membrane >= level).astype(float)
        states.append((spikes, membrane, adaptation))
    return [np.stack(each, axis=1) for each in zip(*states)]

records = evaluation.records(model, inputs)
first, last = model.layers[1:3]
for layer, values in ((first, inputs), (last, records["adaptive_lif_1"].spikes)):
    record = records[layer.name]
    for name, expected in zip(("spikes", "membrane", "adaptation"), trace(layer.cell, values)):
        np.testing.assert_allclose(record.states[name], expected, rtol=0, atol=2e-6)  # roundings of float32
    levels = np.array(layer.cell.threshold) + layer.cell.strength * record.states["adaptation"]
    np.testing.assert_allclose(record.thresholds, levels, rtol=1e-6)
rate = {name: float(record.spikes.mean()) for name, record in records.items()}
naive = float((records["adaptive_lif_2"].membranes >= np.array(last.cell.threshold)).mean())
assert 0.05 < rate["adaptive_lif_2"] < naive - 0.02, "the threshold does not move, the test compares nothing"

report = energy.profile(model, inputs)
paths = datasets.Paths(inputs, inputs, ("strain",), ("stress",))
one = datasets.Standardiser((0.0,), (1.0,), ("strain",)), datasets.Standardiser((0.0,), (1.0,), ("stress",))
evaluated = evaluation.evaluate(in_physical_units(model, *one), paths)["spike_rates"]
for name in rate:
    assert float(report[name].spikes_per_neuron_and_step) == evaluated[name] or np.isclose(evaluated[name], rate[name])
    assert np.isclose(float(report[name].spikes_per_neuron_and_step), rate[name])
found["rate"], found["naive"] = rate["adaptive_lif_2"], naive

plotting.save(plotting.spike_raster(records, paths)[0], "raster.png")
plotting.save(plotting.membrane_traces(records["adaptive_lif_2"])[0], "traces.png")

# Step by step, as a stream runs it.
cell = last.cell
states = cell.get_initial_state(batch_size=5)
for step in range(9):
    output, states = cell(records["adaptive_lif_1"].spikes[:, step], states)
np.testing.assert_allclose(cell.unpack(states).adaptation, records["adaptive_lif_2"].states["adaptation"][:, -1])

def refusal(function):
    try:
        function()
    except InputError as error:
        return str(error)

call = engines.Call(inputs, first.get_initial_state(5), ("spikes",))
found["engine"] = engines.choose(first, call).name
found["refused by the engine"] = refusal(lambda: engines.ENGINES["compiled"].run(first, call))
for target in ("to_nengo", "quantise", "to_nir"):
    try:
        found[target] = refusal(lambda: getattr(kspike_reg.bridges, target)(model))
    except ImportError as error:
        found[target] = str(error)
print(json.dumps(found))
"""


def test_the_new_neuron_works_at_once_and_targets_without_a_converter_refuse_it_by_name(extended):
    root, _ = extended["neuron"]
    found = json.loads(run(root, "-c", USE).splitlines()[-1])
    assert found["rate"] < found["naive"]
    assert found["engine"] == "unrolled"
    assert "'compiled' cannot run AdaptiveLIFCell: it has no kernel" in found["refused by the engine"]
    assert "AdaptiveLIFCell cannot run on the chip" in found["quantise"]
    for target in ("to_nengo", "to_nir"):
        assert "AdaptiveLIF" in found[target] or "needs the package" in found[target], found[target]
    for name in ("raster.png", "traces.png"):
        assert (root / name).stat().st_size > 5000


def test_the_command_line_offers_the_new_neuron_and_the_new_study(extended):
    root, _ = extended["neuron"]
    command = ("-m", "kspike_reg")
    assert "adaptive_lif" in run(root, *command, "train", "--help")
    small = ("--units", "5", "--population", "4", "--depth", "1", "--epochs", "2", "--batch-size", "512")
    run(root, *command, "train", "--task", "elasticity", "--kind", "adaptive_lif", *small, "--out", "run")
    metrics = json.loads((root / "run" / "metrics.json").read_text())
    assert set(metrics["test"]["spike_rates"]) == {"adaptive_lif_1"}
    run(root, *command, "reproduce", "depth", "--quick", "--workers", "2", "--out", "study")
    assert set(json.loads((root / "study" / "results.json").read_text())["cases"]) == {
        "1_layers",
        "2_layers",
        "3_layers",
    }
    assert (root / "study" / "error_against_depth.png").is_file()


def test_the_new_neuron_passes_the_conformance_tests(extended):
    root, _ = extended["neuron"]
    printed = run(
        root, "-m", "pytest", "-q", "-p", "no:nengo", "-p", "no:cacheprovider", "--rootdir", str(root / "tests"),
        "-W", "ignore", "tests/conformance/test_layers.py", "-k", "AdaptiveLIF or in_the_table",
    )  # fmt: skip
    assert int(re.search(r"(\d+) passed", printed)[1]) > 30


KERNEL = """
import keras, numpy as np
from kspike_reg import neurons
from kspike_reg.neurons import AdaptiveLIF, AdaptiveLIFCell
import tensorflow as tf

generator = np.random.default_rng(2)
inputs = tf.constant(generator.normal(0.3, 1.0, (5, 9, 2)), tf.float32)
factors = tf.constant(generator.normal(0.0, 1.0, (5, 9, 7)), tf.float32)

def outcome(layer):
    layer.build((None, None, 2))
    weights = np.random.default_rng(3)
    for weight in layer.trainable_weights:
        spread = {"decay": (0.3, 0.9), "threshold": (0.2, 0.6)}.get(weight.name, (-0.8, 1.0))
        weight.assign(weights.uniform(*spread, weight.shape))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
        loss = tf.reduce_sum(factors * (outputs + outputs**2 / 2))
    variables = [inputs, *(weight.value for weight in layer.trainable_weights)]
    gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    names = ["inputs", *(weight.name for weight in layer.trainable_weights)]
    return outputs.numpy(), {name: gradient.numpy() for name, gradient in zip(names, gradients, strict=True)}

neurons.set_engine("compiled")
for reset in ("subtract", "zero", "none"):
    for detach in (True, False):
        for output in ("spikes", "membrane"):
            options = {"reset": reset, "detach_reset": detach, "output": output}
            options |= {"strength": 0.3, "adaptation_decay": 0.6}
            layer = AdaptiveLIF(7, return_sequences=True, **options)
            found, gradients = outcome(layer)
            call = neurons.engines.Call(inputs, layer.get_initial_state(5), (output,), training=True)
            assert neurons.engines.ENGINES["compiled"].supports(layer, call)
            expected, right = outcome(keras.layers.RNN(AdaptiveLIFCell(7, **options), return_sequences=True))
            # Roundings of float32 over nine steps, on membranes of order one.
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
            assert output == "membrane" or 0.05 < expected.mean() < 0.95
            for name, other in right.items():
                # Membranes depend on thresholds by subtraction, or through the spikes that clear them.
                unseen = output == "membrane" and (reset == "none" or (reset == "zero" and detach))
                assert np.any(other != 0) != (name == "threshold" and unseen)
                np.testing.assert_allclose(gradients[name], other, rtol=0, atol=2e-5 * max(1, np.abs(other).max()))
print("equal")
"""


def test_the_kernel_of_the_new_neuron_gives_the_outputs_and_gradients_of_its_cell(extended):
    root, (new, added) = extended["kernel"]
    assert "kspike_reg/neurons/engines/cpu/adaptive_lif.py" in new
    assert len(added["kspike_reg/neurons/engines/cpu/engine.py"]) == 1
    assert run(root, "-c", KERNEL).splitlines()[-1] == "equal"
