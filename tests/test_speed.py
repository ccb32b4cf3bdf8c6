"""profiling/speed.py: that it runs, and that what it compares is comparable. No time is judged here."""

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
from contenders import keras_networks
from contenders.cases import Case, layers_of, operations_of
from contenders.process import MODES, ContenderError, Process

pytestmark = pytest.mark.skipif(
    keras_networks.BACKEND != "tensorflow", reason="the processes that are started here run TensorFlow"
)
PROFILING = Path(speed.__file__).parent
PEERS = [name for name in ("snntorch", "spikingjelly", "norse") if find_spec(name)]
CASES = [Case(kind, units=6, steps=3, batch=4) for kind in speed.KINDS]
by_kind = pytest.mark.parametrize("case", CASES, ids=speed.KINDS)


@by_kind
def test_products_are_those_of_the_networks_synapses(case):
    """The profiler of energy counts the same connections, layer by layer; it was written apart."""
    model = keras_networks.Ours(case).model
    counted = []
    for layer in filter(lambda layer: isinstance(layer, NeuronLayer), model.layers):
        cost = cost_of(layer.cell, (None, case.units))
        recurrent = cost.recurrence.fan_in * cost.recurrence.fan_out if cost.recurrence else 0
        counted.append(layer.input.shape[-1] * cost.inputs.fan_out + recurrent)
    assert [layer.weights for layer in layers_of(case)] == counted


@by_kind
def test_the_products_that_run_are_those_that_are_counted(case, monkeypatch):
    """By the shapes of every product as it is traced."""
    products = keras_networks.products
    matmul, traced = products.tf.matmul, []

    def counting(a, b, transpose_a=False, transpose_b=False):
        result = matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
        traced.append(2 * a.shape[0 if transpose_a else 1] * int(np.prod(result.shape)))
        return result

    monkeypatch.setattr(products.tf, "matmul", counting)
    functions = products.functions(case, products.laid_out)
    for mode in MODES:
        traced.clear()
        functions[mode]()
        assert sum(traced) == operations_of(case)[mode]


@pytest.mark.parametrize("transposed", [False, True])
def test_recurrent_products_are_alike_in_both_forms(transposed):
    products, random = keras_networks.products, np.random.default_rng(1)
    kernel = random.normal(size=(5, 7)).astype("float32")
    rows = random.normal(size=(3, 4, 7 if transposed else 5)).astype("float32")
    expected = rows @ (kernel.T if transposed else kernel)
    for form in products.FORMS.values():
        function = products.tf.function(lambda r, k, form=form: form(r, k, transposed=transposed))
        # float32 sums of at most seven terms of size one
        np.testing.assert_allclose(np.array(function(rows, kernel)), expected, rtol=1e-5, atol=1e-5)


@by_kind
def test_naive_network_answers_as_ours(case):
    ours, naive = keras_networks.Ours(case).model, keras_networks.Naive(case).model
    assert not any(isinstance(layer, NeuronLayer) for layer in naive.layers)
    inputs, _ = case.data()
    # The same float32 operations in another order.
    expected = ours.predict(inputs, verbose=0)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(naive.predict(inputs, verbose=0), expected, rtol=1e-4, atol=1e-6)


def test_a_step_of_training_moves_the_weights():
    contender = keras_networks.Ours(CASES[1])
    before = contender.model.get_weights()
    contender.run("training", contender.forms[0])
    assert all(np.any(a != b) for a, b in zip(before, contender.model.get_weights(), strict=True))


def test_spike_rates_are_what_layers_hand_on():
    contender = keras_networks.Ours(Case("rlif", units=7, steps=9, batch=5))
    inputs, _ = contender.case.data()
    layers = [layer for layer in contender.model.layers if isinstance(layer, NeuronLayer)]
    handed_on = keras.Model(contender.model.input, [layer.output for layer in layers[:2]])(inputs)
    expected = [np.count_nonzero(spikes) / np.size(spikes) for spikes in map(np.asarray, handed_on)]
    assert 0 < min(expected) < 1
    rates = contender.spike_rates()
    assert len(rates) == 3, "the last layer fires too, though it hands on its membranes"
    np.testing.assert_allclose(rates[:2], expected, rtol=1e-6)  # a mean in single precision


def difference(peer, kind, u):
    """Weights that a peer's network of three hidden layers has more than ours, as its docstring says."""
    return {
        ("snntorch", "lif"): 0,
        ("snntorch", "rlif"): 3 * u,  # biases of the recurrent projections
        ("snntorch", "slstm"): 3 * 4 * u,  # a second bias
        ("spikingjelly", "lif"): 3 * (1 - 2 * u) - 2 * u,  # one decay a layer, no thresholds; readout's decays fixed
        # the same, and a projection more in the first layer, whose recurrent container wants `u` inputs
        ("spikingjelly", "rlif"): 3 * (1 - 2 * u) - 2 * u + u * u + u,
        ("norse", "lif"): 0,
        ("norse", "rlif"): -3 * u,  # no biases
    }.get((peer, kind))


@pytest.mark.skipif(not PEERS, reason="needs the extra bench")
def test_peers_have_the_weights_that_they_say():
    with Process("torch") as process:
        for case in CASES:
            ours = keras_networks.Ours(case).weights()
            taking_part = process.ask("names", kind=case.kind)
            assert taking_part == [name for name in PEERS if difference(name, case.kind, case.units) is not None]
            for name in taking_part:
                found = process.ask("count", name=name, case=case.as_dictionary())
                assert found - ours == difference(name, case.kind, case.units), (name, case.kind)


# Our weights, in the order of `get_weights`, into snnTorch's layers; then the answers of both of its forms.
SNNTORCH = """
import sys
from contenders.cases import Case
from contenders import torch_networks as networks
import numpy as np, torch

kind, file = sys.argv[1:]
contender = networks.CONTENDERS["snntorch"](Case(kind, units=6, steps=3, batch=4))
kept = np.load(file)
weights = iter([torch.from_numpy(kept[f"arr_{n}"]) for n in range(len(kept.files))])
put = lambda parameter, value: parameter.data.copy_(value)
for layer in contender.model.stack:
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
answers = [contender.infer(contender.model.forms[form]).transpose(0, 1).numpy() for form in contender.forms]
np.save(file + ".answers.npy", answers)
"""


@pytest.mark.skipif("snntorch" not in PEERS, reason="needs the extra bench")
@by_kind
def test_snntorch_network_is_the_same_network(case, tmp_path):
    """With our weights, decays and thresholds differing from neuron to neuron, it gives our answers."""
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
    for answers in np.load(tmp_path / "weights.npz.answers.npy"):
        # float32, two libraries' orders of summation and sigmoids
        np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-5)


def test_the_script_measures_every_contender_and_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(speed, "MET", [(3, 4), (5, 2)])
    line = ["--kinds", "rlif", "--sizes", "8x3x4", "--seconds", "0", "--uncompiled", "--out", str(tmp_path)]
    speed.main([*line, "--parts", "rounds", "retracings"])
    content = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    (row,) = content["rounds"]
    assert (row["rounds"], row["failed"]) == (speed.ROUNDS[0], {})
    assert len(row["spike rates"]) == 3
    for mode in MODES:
        of = row[mode]["contenders"]
        assert {"products", "kspike_reg", "naive", *PEERS} == set(of) - {"kspike_reg recomputed"}
        assert of["products"]["to products"] == {"median": 1, "lower quartile": 1, "upper quartile": 1}
        for each in of.values():
            for spread in (each["seconds"], each["to products"]):
                assert 0 < spread["lower quartile"] <= spread["median"] <= spread["upper quartile"] < np.inf
        if PEERS:
            medians = {name: of[name]["seconds"]["median"] for name in PEERS}
            assert row[mode]["fastest peer"] == min(medians, key=medians.get)
            assert row[mode]["times faster than it"]["median"] > 0
    assert [(traced["steps"], traced["batch"]) for traced in content["retracings"]] == speed.MET
    assert content["retracings"][0]["training"] > 0
    text = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert text.count("| rlif |") == len(MODES) + len(speed.MET)
    assert text in capsys.readouterr().out
    assert all((tmp_path / f"{mode}.png").stat().st_size for mode in MODES)

    # A second run on the same machine has nothing to measure; one elsewhere is refused.
    monkeypatch.setattr(speed, "measured", None)
    monkeypatch.setattr(speed, "environment", lambda: content["environment"])
    speed.main([*line, "--parts", "rounds", "retracings"])
    assert json.loads((tmp_path / "speed.json").read_text(encoding="utf-8")) == content

    monkeypatch.setattr(speed, "environment", dict)
    with pytest.raises(InputError, match="measured elsewhere"):
        speed.main([*line, "--parts", "rounds"])


def test_time_is_told_by_how_often_neurons_fire(tmp_path):
    (tmp_path / "speed.json").write_text(
        json.dumps({"environment": speed.environment(), "settings": {"seconds": 0}, "rounds": []}), encoding="utf-8"
    )  # a record from before this part was there
    line = ["--kinds", "slstm", "--sizes", "8x6x4", "--parts", "firing", "--out", str(tmp_path)]
    speed.main(line)
    rows = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))["firing"]
    assert [row["contender"] for row in rows] == ["kspike_reg silent", "kspike_reg", "kspike_reg busy"]
    silent, _, busy = (row["spike rates"] for row in rows)
    assert max(silent) == 0
    assert min(busy) > 0.2
    for row in rows:
        for mode in MODES:
            assert 0 < row[mode]["lower quartile"] <= row[mode]["median"] <= row[mode]["upper quartile"] < np.inf
    assert (tmp_path / "speed.md").read_text(encoding="utf-8").count("| slstm |") == len(rows)


def test_memory_and_first_call_are_those_of_a_fresh_process():
    case = CASES[0].as_dictionary()
    with Process("keras") as process:
        told = process.ask("fresh", name="kspike_reg", case=case)
        larger = Case("lif", units=6, steps=50, batch=20_000)
        # A path's inputs and targets, and what a step of training holds of them, are more than nothing.
        more = process.ask("fresh", name="naive", case=larger.as_dictionary())
    assert told["first / s"] > 0
    assert 0 < told["peak / MiB"] < told["whole process / MiB"]
    # At least one layer's membranes of all steps are kept for the way back: 24 bytes a step of a path.
    assert more["peak / MiB"] > larger.steps * larger.batch * larger.units * 4 / 2**20


def test_our_first_call_is_measured_without_and_with_machine_code_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "environment", lambda: {"device": "cpu"})
    monkeypatch.setattr(speed, "names", lambda process, kind: ["products", "kspike_reg"])
    record = speed.Record(tmp_path / "speed.json", seconds=0)
    for _ in range(2):  # what is in the record is not measured again
        speed.fresh(record, "lif", CASES[:1])
        assert [row["contender"] for row in record.content["fresh"]] == [speed.ANEW, "kspike_reg"]
    for row in record.content["fresh"]:
        assert row.items() >= CASES[0].as_dictionary().items()
        assert row["first / s"] > 0
        assert row["peak / MiB"] > 0


def test_linearity_is_relative_to_the_first_size(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "environment", dict)
    record = speed.Record(tmp_path / "speed.json", seconds=0)
    speed.linearity(record, "lif", [], lines={"steps": [(6, 3, 4), (6, 5, 4)]})
    first, second = record.content["linearity"]
    assert (first["steps"], second["steps"]) == (3, 5)
    for mode in MODES:
        assert first[f"{mode}, relative"]["median"] == 1
        assert second[f"{mode}, relative"]["median"] > 0


def test_a_failure_of_a_contender_is_told_and_the_others_go_on():
    with Process("keras") as process:
        with pytest.raises(ContenderError, match="KeyError: 'nobody'"):
            process.ask("prepare", name="nobody", case=CASES[0].as_dictionary())
        failed = {}
        process.ask("prepare", name="products", case=CASES[0].as_dictionary())
        times = speed.in_turns({"products": (process, "products"), "gone": (process, "gone")}, 0, failed)
    assert list(failed) == ["gone"]
    assert {label: len(of) for label, of in times["training"].items()} == {"products": speed.ROUNDS[0]}


def test_a_process_that_dies_is_told():
    with Process("keras") as process:
        process.child.kill()
        with pytest.raises(ContenderError, match="keras process died"):
            process.ask("names", kind="lif")


@pytest.mark.parametrize("size", ["8x3", "8x0x4", "axbxc", "stars"])
def test_sizes_that_make_no_sense_are_refused(size, capsys):
    with pytest.raises(SystemExit):
        speed.read(["--sizes", size])
    assert repr(size) in capsys.readouterr().err


def test_star_and_grid_hold_what_was_promised():
    for kind, promised in speed.star.__globals__["PROMISED"].items():
        for cases in (speed.star(kind), speed.grid(kind)):
            assert {Case(kind, *size) for size in promised} <= set(cases)
            assert len(set(cases)) == len(cases)
    assert len(speed.star("lif")) == 6
    assert len(speed.grid("slstm")) == 19
