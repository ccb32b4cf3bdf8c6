"""profiling/speed.py runs, and its implementations are comparable. The tests do not judge times."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from kspike_reg.energy.counts import cost_of
from kspike_reg.errors import InputError
from kspike_reg.neurons.layer import NeuronLayer

sys.path.append(str(Path(__file__).parents[1] / "profiling"))

import speed
import speed_parts
import speed_record
from implementations import keras_networks
from implementations.cases import GOAL_SIZES, Case, layers_of, operations_of
from implementations.process import MODES, ImplementationError, Process

pytestmark = pytest.mark.skipif(keras_networks.BACKEND != "tensorflow", reason="the child processes run TensorFlow")
PROFILING = Path(speed.__file__).parent
PEERS = [name for name in ("snntorch", "spikingjelly", "norse") if find_spec(name)]
CASES = [Case(kind, units=6, steps=3, batch=4) for kind in speed.KINDS]
by_kind = pytest.mark.parametrize("case", CASES, ids=speed.KINDS)


@by_kind
def test_matrix_products_are_those_of_the_synapses_of_the_network(case):
    """The energy profiler is independent code and counts the same connections in each layer."""
    model = keras_networks.Ours(case).model
    counted = []
    for layer in filter(lambda layer: isinstance(layer, NeuronLayer), model.layers):
        cost = cost_of(layer.cell, (None, case.units))
        recurrent = cost.recurrence.fan_in * cost.recurrence.fan_out if cost.recurrence else 0
        counted.append(layer.input.shape[-1] * cost.inputs.fan_out + recurrent)
    assert [layer.weights for layer in layers_of(case)] == counted


@by_kind
def test_the_matrix_products_that_run_are_the_counted_ones(case, monkeypatch):
    """The test counts the shapes of all products during tracing."""
    module = keras_networks.matmul
    matmul, traced = module.tf.matmul, []

    def counting(a, b, transpose_a=False, transpose_b=False):
        result = matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
        traced.append(2 * a.shape[0 if transpose_a else 1] * int(np.prod(result.shape)))
        return result

    monkeypatch.setattr(module.tf, "matmul", counting)
    functions = module.functions(case, module.unrolled)
    for mode in MODES:
        traced.clear()
        functions[mode]()
        assert sum(traced) == operations_of(case)[mode]


@pytest.mark.parametrize("transposed", [False, True])
def test_recurrent_matrix_products_agree_in_both_forms(transposed):
    module, random = keras_networks.matmul, np.random.default_rng(1)
    kernel = random.normal(size=(5, 7)).astype("float32")
    rows = random.normal(size=(3, 4, 7 if transposed else 5)).astype("float32")
    expected = rows @ (kernel.T if transposed else kernel)
    for form in module.FORMS.values():
        function = module.tf.function(lambda r, k, form=form: form(r, k, transposed=transposed))
        # float32 sums of at most seven terms of size one
        np.testing.assert_allclose(np.array(function(rows, kernel)), expected, rtol=1e-5, atol=1e-5)


@by_kind
def test_the_naive_network_has_the_same_outputs_as_ours(case):
    ours, naive = keras_networks.Ours(case).model, keras_networks.Naive(case).model
    assert not any(isinstance(layer, NeuronLayer) for layer in naive.layers)
    inputs, _ = case.data()
    # The same float32 operations in another order.
    expected = ours.predict(inputs, verbose=0)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(naive.predict(inputs, verbose=0), expected, rtol=1e-4, atol=1e-6)


def test_a_step_of_training_moves_the_weights():
    ours = keras_networks.Ours(CASES[1])
    before = ours.model.get_weights()
    ours.run("training", ours.forms[0])
    assert all(np.any(a != b) for a, b in zip(before, ours.model.get_weights(), strict=True))


def test_spike_rates_are_those_of_the_emitted_spikes():
    ours = keras_networks.Ours(Case("rlif", units=7, steps=9, batch=5))
    inputs, _ = ours.case.data()
    layers = [layer for layer in ours.model.layers if isinstance(layer, NeuronLayer)]
    emitted = keras.Model(ours.model.input, [layer.output for layer in layers[:2]])(inputs)
    expected = [np.count_nonzero(spikes) / np.size(spikes) for spikes in map(np.asarray, emitted)]
    assert 0 < min(expected) < 1
    rates = ours.spike_rates()
    assert len(rates) == 3, "the last layer fires too, although it emits its membranes"
    np.testing.assert_allclose(rates[:2], expected, rtol=1e-6)  # means in single precision


def difference(peer, kind, u):
    """The number of weights by which a peer's network of three hidden layers exceeds ours, as in its docstring."""
    return {
        ("snntorch", "lif"): 0,
        ("snntorch", "rlif"): 3 * u,  # biases of the recurrent projections
        ("snntorch", "slstm"): 3 * 4 * u,  # a second bias
        ("spikingjelly", "lif"): 3 * (1 - 2 * u) - 2 * u,  # one decay a layer, no thresholds; readout's decays fixed
        # the same, and one more projection in the first layer, whose recurrent container needs `u` inputs
        ("spikingjelly", "rlif"): 3 * (1 - 2 * u) - 2 * u + u * u + u,
        ("norse", "lif"): 0,
        ("norse", "rlif"): -3 * u,  # no biases
    }.get((peer, kind))


@pytest.mark.skipif(not PEERS, reason="needs the extra bench")
def test_peers_have_the_weights_of_their_docstrings():
    with Process("torch") as process:
        for case in CASES:
            ours = keras_networks.Ours(case).weights()
            taking_part = process.ask("names", kind=case.kind)
            assert taking_part == [name for name in PEERS if difference(name, case.kind, case.units) is not None]
            for name in taking_part:
                found = process.ask("count", name=name, case=case.as_dictionary())
                assert found - ours == difference(name, case.kind, case.units), (name, case.kind)


# Copies our weights, in the order of `get_weights`, into snnTorch's layers, then saves the outputs of all of its forms.
SNNTORCH = """
import sys
from implementations.cases import Case
from implementations import torch_networks as networks
import numpy as np, torch

kind, file = sys.argv[1:]
network = networks.IMPLEMENTATIONS["snntorch"](Case(kind, units=6, steps=3, batch=4))
ours = np.load(file)
weights = iter([torch.from_numpy(ours[f"arr_{n}"]) for n in range(len(ours.files))])
put = lambda parameter, value: parameter.data.copy_(value)
for layer in network.model.stack:
    neurons = layer.neurons
    if kind == "slstm" and hasattr(neurons, "lstm_cell"):
        cell = neurons.lstm_cell
        put(cell.weight_ih, next(weights).T), put(cell.bias_ih, next(weights)), cell.bias_hh.data.zero_()
        put(neurons.threshold, next(weights)), put(cell.weight_hh, next(weights).T)
        continue
    put(layer.project.weight, next(weights).T), put(layer.project.bias, next(weights))
    put(neurons.beta, next(weights))
    if isinstance(neurons.threshold, torch.nn.Parameter):
        put(neurons.threshold, next(weights))
    if hasattr(neurons, "recurrent"):
        put(neurons.recurrent.weight, next(weights).T), neurons.recurrent.bias.data.zero_()
outputs = [network.infer(network.model.forms[form]).transpose(0, 1).numpy() for form in network.forms]
np.save(file + ".outputs.npy", outputs)
"""


@pytest.mark.skipif("snntorch" not in PEERS, reason="needs the extra bench")
@by_kind
def test_snntorch_network_is_the_same_network(case, tmp_path):
    """With our weights, and with different decays and thresholds for each neuron, the outputs are the same."""
    model = keras_networks.Ours(case).model
    random = np.random.default_rng(2)
    for weight in model.weights:
        if weight.name in ("decay", "threshold"):
            weight.assign(random.uniform(0.1, 0.7, size=weight.shape))
    names = [weight.name for weight in model.layers[1].weights]
    order = {"lif": 4, "rlif": 5, "slstm": 4}[case.kind]
    assert len(names) == order, names
    np.savez(tmp_path / "weights.npz", *model.get_weights())
    subprocess.run(
        [sys.executable, "-c", SNNTORCH, case.kind, str(tmp_path / "weights.npz")], check=True, cwd=PROFILING
    )
    expected = model.predict(case.data()[0], verbose=0)
    assert np.ptp(expected) > 1e-3
    for outputs in np.load(tmp_path / "weights.npz.outputs.npy"):
        # float32, with another order of summation and another sigmoid
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_the_script_measures_every_implementation_and_continues_its_record(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(speed_parts, "RETRACED", [(3, 4), (5, 2)])
    line = ["--kinds", "rlif", "--sizes", "8x3x4", "--seconds", "0", "--uncompiled", "--out", str(tmp_path)]
    speed.main([*line, "--parts", "rounds", "retracings"])
    content = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    (row,) = content["rounds"]
    assert (row["rounds"], row["failed"]) == (speed_record.ROUNDS[0], {})
    assert len(row["spike rates"]) == 3
    for mode in MODES:
        of = row[mode]["implementations"]
        assert {"matmul", "kspike_reg", "kspike_reg recomputed", "naive", *PEERS} == set(of)
        assert of["matmul"]["relative to matmul"] == {"median": 1, "lower quartile": 1, "upper quartile": 1}
        for each in of.values():
            for spread in (each["seconds"], each["relative to matmul"]):
                assert 0 < spread["lower quartile"] <= spread["median"] <= spread["upper quartile"] < np.inf
        if PEERS:
            medians = {name: of[name]["seconds"]["median"] for name in PEERS}
            assert row[mode]["fastest peer"] == min(medians, key=medians.get)
            assert row[mode]["times faster than it"]["median"] > 0
    assert [(traced["steps"], traced["batch"]) for traced in content["retracings"]] == speed_parts.RETRACED
    assert content["retracings"][0]["training"] > 0
    text = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert text.count("| rlif |") == len(MODES) + len(speed_parts.RETRACED)
    assert text in capsys.readouterr().out
    assert all((tmp_path / f"{mode}.png").stat().st_size for mode in MODES)

    # A second run on the same machine has nothing to measure; a run on another machine is refused.
    monkeypatch.setattr(speed_parts, "measured", None)
    monkeypatch.setattr(speed_record, "environment", lambda: content["environment"])
    speed.main([*line, "--parts", "rounds", "retracings"])
    assert json.loads((tmp_path / "speed.json").read_text(encoding="utf-8")) == content

    monkeypatch.setattr(speed_record, "environment", dict)
    with pytest.raises(InputError, match="measured elsewhere"):
        speed.main([*line, "--parts", "rounds"])


def test_times_are_recorded_by_spike_rate(tmp_path):
    # An older record, without this part.
    older = {"environment": speed_record.environment(), "settings": {"seconds": 0}, "rounds": []}
    (tmp_path / "speed.json").write_text(json.dumps(older), encoding="utf-8")
    line = ["--kinds", "slstm", "--sizes", "8x6x4", "--parts", "firing", "--out", str(tmp_path)]
    speed.main(line)
    rows = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))["firing"]
    assert [row["implementation"] for row in rows] == ["kspike_reg silent", "kspike_reg", "kspike_reg busy"]
    silent, _, busy = (row["spike rates"] for row in rows)
    assert max(silent) == 0
    assert min(busy) > 0.2
    for row in rows:
        for mode in MODES:
            assert 0 < row[mode]["lower quartile"] <= row[mode]["median"] <= row[mode]["upper quartile"] < np.inf
    assert (tmp_path / "speed.md").read_text(encoding="utf-8").count("| slstm |") == len(rows)


def test_memory_and_first_call_are_measured_in_a_new_process():
    case = CASES[0].as_dictionary()
    with Process("keras") as process:
        small = process.ask("fresh", name="kspike_reg", case=case)
        larger = Case("lif", units=6, steps=50, batch=20_000)
        large = process.ask("fresh", name="naive", case=larger.as_dictionary())
    assert small["first / s"] > 0
    assert 0 < small["peak / MiB"] < small["whole process / MiB"]
    # The backward pass needs the membranes of at least one layer at all steps: 24 bytes per step of a path.
    assert large["peak / MiB"] > larger.steps * larger.batch * larger.units * 4 / 2**20


def test_our_first_call_is_measured_without_and_with_machine_code_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(speed_record, "environment", lambda: {"device": "cpu"})
    monkeypatch.setattr(speed_parts, "names_in", lambda process, kind: ["matmul", "kspike_reg"])
    record = speed_record.Record(tmp_path / "speed.json", seconds=0)
    for _ in range(2):  # the second call measures nothing
        speed_parts.fresh(record, "lif", CASES[:1])
        assert [row["implementation"] for row in record.content["fresh"]] == [speed_parts.EMPTY_CACHE, "kspike_reg"]
    for row in record.content["fresh"]:
        assert row.items() >= CASES[0].as_dictionary().items()
        assert row["first / s"] > 0
        assert row["peak / MiB"] > 0


def test_linearity_is_relative_to_the_first_size(tmp_path, monkeypatch):
    monkeypatch.setattr(speed_record, "environment", dict)
    record = speed_record.Record(tmp_path / "speed.json", seconds=0)
    speed_parts.linearity(record, "lif", [], lines={"steps": [(6, 3, 4), (6, 5, 4)]})
    first, second = record.content["linearity"]
    assert (first["steps"], second["steps"]) == (3, 5)
    for mode in MODES:
        assert first[f"{mode}, relative"]["median"] == 1
        assert second[f"{mode}, relative"]["median"] > 0


def test_a_failed_implementation_is_reported_and_the_others_continue():
    with Process("keras") as process:
        with pytest.raises(ImplementationError, match="KeyError: 'nobody'"):
            process.ask("prepare", name="nobody", case=CASES[0].as_dictionary())
        failed = {}
        process.ask("prepare", name="matmul", case=CASES[0].as_dictionary())
        times = speed_parts.alternating({"matmul": (process, "matmul"), "gone": (process, "gone")}, 0, failed)
    assert list(failed) == ["gone"]
    assert {label: len(of) for label, of in times["training"].items()} == {"matmul": speed_record.ROUNDS[0]}


def test_a_process_that_dies_is_reported():
    with Process("keras") as process:
        process.child.kill()
        with pytest.raises(ImplementationError, match="keras process died"):
            process.ask("names", kind="lif")


@pytest.mark.parametrize("size", ["8x3", "8x0x4", "axbxc", "stars"])
def test_invalid_sizes_are_refused(size, capsys):
    with pytest.raises(SystemExit):
        speed.read(["--sizes", size])
    assert repr(size) in capsys.readouterr().err


def test_star_and_grid_contain_the_goal_sizes():
    for kind, sizes in GOAL_SIZES.items():
        for cases in (speed.star(kind), speed.grid(kind)):
            assert {Case(kind, *size) for size in sizes} <= set(cases)
            assert len(set(cases)) == len(cases)
    assert len(speed.star("lif")) == 6
    assert len(speed.grid("slstm")) == 19
