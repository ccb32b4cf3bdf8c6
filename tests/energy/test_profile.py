"""Operation counts against plain NumPy loops and arithmetic by hand. Counts are integers, compared exactly.

Weights and inputs of the spiking networks lie on the grid of `draw_on_a_grid`, where single precision is exact, so the
loops give exactly the same spikes. The gates of SLSTM are never exact; a check ensures that its membranes stay away
from the thresholds.
"""

import itertools
from fractions import Fraction

import keras
import numpy as np
import pytest

from conformance.table import ROWS
from kspike_reg import build, datasets
from kspike_reg.energy import profile
from kspike_reg.network.physical import in_physical_units
from kspike_reg.neurons import LIF, RLIF, LeakyIntegrator, LIFCell, PopulationMean, RLIFCell
from oracles.backend import torch_arrays
from oracles.networks import fire, grid, put_on_the_grid
from oracles.weights import assign, draw_on_a_grid

pytestmark = torch_arrays

PATHS, TIME, FEATURES, UNITS, POPULATION, OUTPUTS, DEPTH = 5, 6, 2, 7, 6, 3, 2
LENGTHS = np.array([6, 3, 6, 1, 4])
MASK = np.arange(TIME) < LENGTHS[:, None]


def synaptic_events(spikes, fan_out, length=None, until=0):
    """One event for each connection of each neuron that fires, over the first steps of one path."""
    count = 0
    for step in range((len(spikes) if length is None else length) - until):
        for neuron in range(spikes.shape[1]):
            if spikes[step, neuron] == 1.0:
                for _ in range(fan_out):
                    count += 1
    return count


def projection(report, layer, name, source=None):
    found = [each for each in report[layer].projections if each.name == name and source in (None, each.source)]
    assert len(found) == 1
    return found[0]


# --------------------------------------------------------------------------------------- every kind, both readouts


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("readout", ["membrane", "spikes"])
@pytest.mark.parametrize("kind", ["lif", "rlif", "slstm"])
def test_accumulates_are_spikes_times_fan_out(kind, readout, masked):
    """For each projection, for each path and for all paths."""
    model = put_on_the_grid(
        build(
            kind, features=FEATURES, outputs=OUTPUTS, units=UNITS, population=POPULATION, depth=DEPTH, readout=readout
        )
    )
    inputs = grid(PATHS, TIME, FEATURES)
    lengths = LENGTHS if masked else np.full(PATHS, TIME)
    first, second = (model.get_layer(f"{kind}_{number}").cell for number in (1, 2))
    spikes_1, _ = fire(first, inputs.astype("float64"))
    spikes_2, _ = fire(second, spikes_1)
    assert 0 < spikes_1.sum() < spikes_1.size, "the layer is silent or always fires, so the test is vacuous"
    assert 0 < spikes_2.sum() < spikes_2.size, "the layer is silent or always fires, so the test is vacuous"
    gates = 4 if kind == "slstm" else 1
    totals = np.zeros(5, int)
    for path, length in enumerate(lengths):
        one = slice(path, path + 1)
        report = profile(model, inputs[one], mask=MASK[one] if masked else None)
        expected = np.array(
            [
                synaptic_events(spikes_1[path], gates * UNITS, length),
                synaptic_events(spikes_1[path], UNITS, length, until=1) if kind == "rlif" else 0,
                synaptic_events(spikes_2[path], UNITS, length, until=1) if kind == "rlif" else 0,
                synaptic_events(spikes_2[path], UNITS, length) if readout == "spikes" else 0,
                synaptic_events(spikes_1[path], 1, length) + synaptic_events(spikes_2[path], 1, length),
            ]
        )
        np.testing.assert_array_equal(counts_of(report, kind), expected)
        assert report.steps == length
        check_the_rest(report, kind, readout, int(length))
        totals += expected
    whole = profile(model, inputs, mask=MASK if masked else None, batch_size=2)
    np.testing.assert_array_equal(counts_of(whole, kind), totals)
    check_the_rest(whole, kind, readout, int(lengths.sum()))


def counts_of(report, kind):
    second = projection(report, f"{kind}_2", "kernel", f"{kind}_1")
    recurrent = [
        projection(report, name, "recurrent_kernel", name).accumulates if kind == "rlif" else 0
        for name in ("rlif_1", "rlif_2")
    ]
    decoding = projection(report, "decoding", "kernel", f"{kind}_2")
    return [second.accumulates, *recurrent, decoding.accumulates, report.spikes]


def check_the_rest(report, kind, readout, steps):
    """Check by hand the counts that do not depend on spikes, for `steps` steps in total."""
    gates = 4 if kind == "slstm" else 1
    assert projection(report, f"{kind}_1", "kernel", "inputs").multiply_accumulates == steps * FEATURES * UNITS * gates
    assert projection(report, f"{kind}_2", "kernel").multiply_accumulates == 0
    real = 0 if readout == "spikes" else steps * UNITS * UNITS
    assert report["decoding"].multiply_accumulates == real
    assert report["population"].multiply_accumulates == steps * UNITS * POPULATION
    assert report["mean"].additions == steps * POPULATION
    for name in (f"{kind}_1", f"{kind}_2"):
        layer = report[name]
        assert layer.neuron_updates == steps * UNITS
        assert layer.active_updates == layer.spikes
        assert layer.spikes_per_neuron_and_step == Fraction(layer.spikes, steps * UNITS)
        assert layer.bias_additions == steps * UNITS * gates
        if kind == "slstm":
            assert projection(report, name, "recurrent_kernel").multiply_accumulates == steps * 4 * UNITS * UNITS
    assert report["decoding"].active_updates == steps * UNITS
    assert report["decoding"].idle_updates == 0
    assert report["decoding"].spikes is None


@pytest.mark.parametrize("kind", ["dense", "rnn", "gru", "lstm"])
def test_baselines_multiply_everything_at_every_step(kind):
    model = build(kind, features=FEATURES, outputs=OUTPUTS, units=UNITS, population=POPULATION, depth=DEPTH)
    report = profile(model, grid(PATHS, TIME, FEATURES), mask=MASK)
    steps = LENGTHS.sum()
    gates = {"dense": 1, "rnn": 1, "gru": 3, "lstm": 4}[kind]
    recurrent = 0 if kind == "dense" else gates * UNITS * UNITS
    assert report[f"{kind}_1"].multiply_accumulates == steps * (gates * FEATURES * UNITS + recurrent)
    assert report[f"{kind}_2"].multiply_accumulates == steps * (gates * UNITS * UNITS + recurrent)
    # with reset_after, the default, a GRU has a second set of biases
    assert report[f"{kind}_2"].bias_additions == steps * {"dense": 7, "rnn": 7, "gru": 42, "lstm": 28}[kind]
    assert report[f"{kind}_2"].neuron_updates == report[f"{kind}_2"].active_updates == steps * UNITS
    assert report["decoding"].neuron_updates == 0
    assert report.accumulates == report.spikes == 0
    assert report.dense_operations == report.multiply_accumulates + steps * POPULATION
    assert report.parameters == model.count_params()


def test_a_gru_that_resets_before_has_one_set_of_biases():
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, keras.layers.GRU(3, reset_after=False)(inputs))
    report = profile(model, grid(4, 5, 2))
    assert report.bias_additions == 4 * 5 * 9
    assert report.multiply_accumulates == 4 * 5 * (2 * 9 + 3 * 9)


def test_footprint():
    """LIF: kernel 2 x 7, bias, decay, threshold; state: spike and membrane. With 12 bits the last byte is half full."""
    model = build("lif", features=FEATURES, outputs=OUTPUTS, units=UNITS, population=POPULATION, depth=1)
    layer = profile(model, grid(1, 2, FEATURES), bits=12)["lif_1"]
    assert (layer.parameters, layer.state) == (14 + 7 + 7 + 7, 14)
    assert (layer.parameter_bytes, layer.state_bytes, layer.memory_bytes) == (53, 21, 74)
    assert profile(model, grid(1, 2, FEATURES))["lif_1"].memory_bytes == 4 * (35 + 14)


def test_a_model_in_physical_units_counts_the_same_from_paths():
    network = put_on_the_grid(build("lif", features=2, outputs=1, units=UNITS, population=POPULATION, depth=DEPTH))
    inputs = grid(PATHS, TIME, FEATURES)
    # Powers of two make the scaling exact.
    scaling = datasets.Standardiser((0.0, 0.0), (0.25, 2.0), ("strain", "temperature"))
    model = in_physical_units(network, scaling, datasets.Standardiser((0.0,), (1.0,), ("stress",)))
    lengths = np.maximum(LENGTHS, 2)
    padded = np.where((np.arange(TIME) < lengths[:, None])[..., None], inputs * [0.25, 2.0], 1e30)
    paths = datasets.Paths(padded, None, ("strain", "temperature"), lengths=lengths)
    report = profile(model, paths)
    plain = profile(network, inputs, mask=np.arange(TIME) < lengths[:, None])
    assert report["standardise"].projections == ()
    assert "host" in report["standardise"].note
    assert report.accumulates == plain.accumulates > 0
    assert report.multiply_accumulates == plain.multiply_accumulates
    assert projection(report, "lif_1", "kernel").source == "standardise"


@pytest.mark.parametrize("name", ROWS)
def test_every_public_layer_has_a_cost(name):
    """The layers of the conformance table; the cell states whether a neuron fires."""
    row = ROWS[name]
    inputs = keras.Input((TIME, row.features))
    layer = row.make(**{"return_sequences": True} if row.recurrent else {})
    report = profile(keras.Model(inputs, layer(inputs)), row.inputs(batch=2, time=TIME))
    (counts,) = report.layers
    assert counts.steps == 2 * TIME
    assert counts.parameters == layer.count_params()
    assert (counts.spikes is not None) == hasattr(getattr(layer, "cell", None), "threshold")


# --------------------------------------------------------------------------------------------------- other networks


def test_one_layer_used_twice_counts_twice():
    layer = RLIF(UNITS, return_sequences=True, name="twice")
    left, right = (keras.Input((None, UNITS), name=name) for name in ("left", "right"))
    once = keras.Model(left, layer(left))
    assign(layer.cell, draw_on_a_grid(layer.cell, UNITS, 1))
    inputs = grid(3, 5, UNITS), grid(3, 5, UNITS, seed=8)
    singles = [profile(once, array) for array in inputs]

    both = profile(keras.Model([left, right], [layer(left), layer(right)]), list(inputs))["twice"]
    assert both.calls == 2
    assert both.spikes == sum(single.spikes for single in singles) > 0
    assert both.accumulates == sum(single.accumulates for single in singles) > 0
    assert both.multiply_accumulates == 2 * singles[0].multiply_accumulates
    assert {each.source for each in both.projections} == {"left", "right", "twice"}
    assert (both.connections, both.parameters) == (singles[0].connections, singles[0].parameters)
    assert both.state == 2 * singles[0].state

    same = profile(keras.Model(left, [layer(left), layer(left)]), inputs[0])["twice"]
    assert same.accumulates == 2 * singles[0].accumulates
    assert len(same.projections) == 2
    stacked = profile(keras.Model(left, layer(layer(left))), inputs[0])["twice"]
    heard_itself = projection(keras_report(stacked), "twice", "kernel", "twice")
    assert heard_itself.accumulates == singles[0].spikes * UNITS


def keras_report(layer):
    """A report of one layer, for `projection`."""
    return {layer.name: layer}


def test_each_source_of_several_keeps_its_kind():
    """Spikes and a real-valued input in one layer; a sum of spikes is not a spike."""
    strain, extra = keras.Input((None, 2), name="strain"), keras.Input((None, 3), name="extra")
    fast, slow = LIF(4, return_sequences=True, name="fast"), RLIF(5, return_sequences=True, name="slow")
    spikes = fast(strain), slow(strain)
    joined = keras.layers.Concatenate()([spikes[0], keras.layers.Dropout(0.5)(spikes[1]), extra])
    added = keras.layers.Add(name="added")([spikes[0], spikes[0]])
    outputs = [keras.layers.Dense(6, name="consumer")(joined), keras.layers.Dense(2, name="late")(added)]
    model = put_on_the_grid(keras.Model([strain, extra], outputs))
    inputs = grid(PATHS, TIME, 2)
    report = profile(model, {"extra": grid(PATHS, TIME, 3, seed=6), "strain": inputs}, mask=MASK)
    steps = int(LENGTHS.sum())
    for name, layer in (("fast", fast), ("slow", slow)):
        recorded, _ = fire(layer.cell, inputs.astype("float64"))
        events = sum(synaptic_events(recorded[path], 6, length) for path, length in enumerate(LENGTHS))
        assert projection(report, "consumer", "kernel", name).accumulates == events > 0
        assert projection(report, "consumer", "kernel", name).multiply_accumulates == 0
    assert projection(report, "consumer", "kernel", "extra").multiply_accumulates == steps * 3 * 6
    assert report["consumer"].connections == 12 * 6
    assert report["added"].accumulates == 2 * report["fast"].spikes
    assert projection(report, "late", "kernel", "added").multiply_accumulates == steps * 4 * 2
    assert report["late"].accumulates == 0


def test_nested_models_count_like_flat_ones():
    def layers():
        return LIF(UNITS, return_sequences=True, name="lif"), LeakyIntegrator(4, return_sequences=True, name="leaky")

    def assign_weights(*layers):
        for seed, layer in enumerate(layers):
            assign(layer.cell, draw_on_a_grid(layer.cell, layer.cell.kernel.shape[0], seed))

    inputs = keras.Input((None, FEATURES), name="inputs")
    lif, leaky = layers()
    flat = keras.Model(inputs, PopulationMean(2, name="mean")(leaky(lif(inputs))))
    assign_weights(lif, leaky)
    lif, leaky = layers()
    inside = keras.Input((None, FEATURES))
    inner = keras.Model(inside, lif(inside), name="inner")
    middle = keras.Input((None, FEATURES))
    nested = keras.Sequential(
        [keras.Model(middle, leaky(inner(middle)), name="middle"), PopulationMean(2, name="mean")]
    )
    nested.build((None, None, FEATURES))
    assign_weights(lif, leaky)

    data = grid(PATHS, TIME, FEATURES)
    expected, found = profile(flat, data, mask=MASK), profile(nested, data, mask=MASK)
    assert [layer.name for layer in found.layers] == ["middle/inner/lif", "middle/leaky", "mean"]
    for one, other in zip(expected.layers, found.layers, strict=True):
        assert (one.accumulates, one.multiply_accumulates, one.additions) == (
            other.accumulates, other.multiply_accumulates, other.additions
        )  # fmt: skip
    assert found.accumulates > 0 or found["middle/inner/lif"].spikes > 0
    assert projection(found, "middle/leaky", "kernel").source == "middle/inner/lif"


@pytest.mark.parametrize("cell_class", [LIFCell, RLIFCell])
def test_a_cell_inside_keras_rnn_counts_like_its_layer(cell_class):
    """A one-to-one recurrence has a single connection for each neuron."""
    options = {"recurrence": "one_to_one"} if cell_class is RLIFCell else {}
    layer_class = {LIFCell: LIF, RLIFCell: RLIF}[cell_class]
    reports = []
    for layer in (
        layer_class(UNITS, return_sequences=True, name="layer", **options),
        keras.layers.RNN(cell_class(UNITS, **options), return_sequences=True, name="layer"),
    ):
        inputs = keras.Input((None, FEATURES))
        model = keras.Model(inputs, keras.layers.TimeDistributed(keras.layers.Dense(3), name="consumer")(layer(inputs)))
        reports.append(profile(put_on_the_grid(model), grid(PATHS, TIME, FEATURES)))
    plain, wrapped = reports
    assert wrapped["layer"].spikes == plain["layer"].spikes > 0
    assert wrapped["consumer"].accumulates == plain["consumer"].accumulates == 3 * plain["layer"].spikes
    assert wrapped["layer"].accumulates == plain["layer"].accumulates
    if options:
        spikes, _ = fire(layer.cell, grid(PATHS, TIME, FEATURES).astype("float64"))
        assert wrapped["layer"].accumulates == spikes[:, :-1].sum() > 0
        assert projection(wrapped, "layer", "recurrent_kernel").connections == UNITS


@pytest.mark.parametrize("output", ["spikes", "membrane"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["layer", "cell"])
def test_a_layer_that_emits_only_its_last_step_fires_at_all_steps(output, wrapped):
    """The last step is that of the path, not of the padding; the next layer runs once for each path."""
    layer = (
        keras.layers.RNN(RLIFCell(UNITS, output=output), name="last")
        if wrapped
        else RLIF(UNITS, output=output, name="last")
    )
    inputs = keras.Input((None, FEATURES))
    model = put_on_the_grid(keras.Model(inputs, keras.layers.Dense(3, name="answer")(layer(inputs))))
    data = grid(PATHS, TIME, FEATURES)
    report = profile(model, data, mask=MASK)
    spikes, _ = fire(layer.cell, data.astype("float64"))
    assert report["last"].spikes == spikes[MASK].sum() > 0
    assert report["answer"].steps == PATHS
    last = sum(spikes[path, length - 1].sum() for path, length in enumerate(LENGTHS))
    assert projection(report, "last", "recurrent_kernel").accumulates == (spikes[MASK].sum() - last) * UNITS
    assert report["answer"].accumulates == (3 * last if output == "spikes" else 0)
    assert report["answer"].multiply_accumulates == (0 if output == "spikes" else PATHS * 3 * UNITS)
    assert not layer.return_sequences


def test_steps_that_a_masking_layer_hides_do_not_count():
    """With gaps inside the path: a spike before the gap is fed back after it."""
    inputs = keras.Input((None, FEATURES))
    layer = RLIF(UNITS, return_sequences=True, name="rlif")
    hidden = layer(keras.layers.Masking(-9.0)(inputs))
    model = put_on_the_grid(keras.Model(inputs, keras.layers.Dense(3, name="consumer")(hidden)))
    data, shown = grid(3, TIME, FEATURES), np.array([[1, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 0], [1] * 6], bool)
    report = profile(model, np.where(shown[..., None], data, -9.0))
    fed_back = fired = 0
    for path, steps in zip(data, shown, strict=True):
        spikes, _ = fire(layer.cell, path[None, steps].astype("float64"))
        fired += spikes.sum()
        fed_back += spikes[:, :-1].sum()
    assert report["rlif"].spikes == fired > 0
    assert report["rlif"].steps == report["consumer"].steps == shown.sum()
    assert report["consumer"].accumulates == 3 * fired
    assert projection(report, "rlif", "recurrent_kernel").accumulates == fed_back * UNITS > 0


def test_a_constant_input_is_repeated_and_flattened_spikes_stay_spikes():
    inputs = keras.Input((FEATURES,), name="constant")
    layer = LIF(UNITS, return_sequences=True, name="lif")
    spikes = layer(keras.layers.RepeatVector(4)(inputs))
    model = put_on_the_grid(keras.Model(inputs, keras.layers.Dense(3, name="all")(keras.layers.Flatten()(spikes))))
    data = grid(PATHS, FEATURES)
    report = profile(model, data)
    fired, _ = fire(layer.cell, np.repeat(data[:, None], 4, axis=1).astype("float64"))
    assert report["lif"].steps == 4 * PATHS
    assert report["lif"].multiply_accumulates == 4 * PATHS * FEATURES * UNITS
    assert report["all"].accumulates == 3 * fired.sum() > 0
    assert report["all"].steps == PATHS
    assert projection(report, "all", "kernel", "lif").fan_in == 4 * UNITS


# ------------------------------------------------------------------------------------------------------- invariants


@pytest.fixture(scope="module")
def network():
    return put_on_the_grid(
        build("rlif", features=FEATURES, units=UNITS, population=POPULATION, depth=DEPTH, readout="spikes")
    )


def test_batches_and_order_do_not_matter(network):
    inputs = grid(PATHS, TIME, FEATURES)
    report = profile(network, inputs, mask=MASK, batch_size=PATHS)
    for size in (1, 2, 3, 100):
        assert profile(network, inputs, mask=MASK, batch_size=size) == report
    order = np.array([3, 0, 4, 2, 1])
    assert profile(network, inputs[order], mask=MASK[order]) == report


def test_a_mask_that_hides_nothing_changes_nothing(network):
    inputs = grid(PATHS, TIME, FEATURES)
    assert profile(network, inputs, mask=np.ones((PATHS, TIME), int)) == profile(network, inputs)


def test_counts_add_up_over_time(network):
    """A step adds only its own operations: a spike of the last step is fed back only if there is a next step."""
    inputs = grid(1, TIME, FEATURES)
    reports = [profile(network, inputs, mask=(np.arange(TIME) < steps)[None]) for steps in range(1, TIME + 1)]
    spikes_1, _ = fire(network.get_layer("rlif_1").cell, inputs.astype("float64"))
    spikes_2, _ = fire(network.get_layer("rlif_2").cell, spikes_1)
    for step, (before, after) in enumerate(itertools.pairwise(reports), start=1):
        for layer, spikes in (("rlif_1", spikes_1), ("rlif_2", spikes_2)):
            assert after[layer].spikes - before[layer].spikes == spikes[0, step].sum()
            name = "recurrent_kernel"
            fed_back = [projection(report, layer, name).accumulates for report in (before, after)]
            assert fed_back[1] - fed_back[0] == spikes[0, step - 1].sum() * UNITS
        for count in ("multiply_accumulates", "bias_additions", "neuron_updates", "dense_operations"):
            assert getattr(after, count) * step == getattr(before, count) * (step + 1)


def test_a_silent_network_has_no_synaptic_events(network):
    silent = build("rlif", features=FEATURES, units=UNITS, population=POPULATION, readout="spikes", threshold=1e6)
    report = profile(silent, grid(PATHS, TIME, FEATURES))
    assert report.spikes == report.accumulates == 0
    for name in ("rlif_1", "rlif_2", "rlif_3"):
        assert report[name].active_updates == 0
        assert report[name].idle_updates == PATHS * TIME * UNITS
    table = report.energy("loihi_davies2018")
    assert table.joules["accumulate"] == table.joules["spike"] == 0.0


def test_profiling_does_not_change_the_network(network):
    """It adds no nodes to the graph, which would make `layer.output` ambiguous; weights and outputs stay equal."""
    inputs = grid(PATHS, TIME, FEATURES)
    answer = network.predict_on_batch(inputs)
    profile(network, inputs)
    assert all(len(layer._inbound_nodes) == 1 for layer in network.layers)
    np.testing.assert_array_equal(network.predict_on_batch(inputs), answer)


def test_a_report_follows_the_weights():
    """The profiler caches the compiled recorder, but not the weights."""
    model = put_on_the_grid(build("lif", features=FEATURES, units=UNITS, population=POPULATION, depth=1))
    inputs = grid(PATHS, TIME, FEATURES)
    assert profile(model, inputs).spikes > 0
    model.get_layer("lif_1").cell.threshold.assign(np.full(UNITS, 1e6))
    assert profile(model, inputs).spikes == 0
