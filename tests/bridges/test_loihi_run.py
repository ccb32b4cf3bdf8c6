"""Networks on NengoLoihi's emulator of the chip against loops over integers, traces by hand and Keras."""

import keras
import numpy as np
import pytest

import kspike_reg
from kspike_reg import datasets, evaluation
from kspike_reg.bridges import simulate
from kspike_reg.bridges.loihi import cores as loihi_cores, integers as loihi_integers
from kspike_reg.bridges.loihi.integers import LayerIntegers
from kspike_reg.bridges.loihi.quantise import quantise
from kspike_reg.bridges.loihi.run import simulate_on_loihi
from kspike_reg.bridges.progress import ProgressBar
from kspike_reg.energy import profile
from kspike_reg.errors import InputError
from kspike_reg.network import spiking_layers
from kspike_reg.network.probes import Record, Recording
from kspike_reg.neurons import LIF, RLIF
from oracles import loihi as chip
from oracles.backend import numpy_of
from oracles.weights import assign, draw

pytest.importorskip("nengo_loihi", reason="nengo_loihi is not installed (extra loihi, with NumPy below 2)")

PATHS, TIME, FEATURES, UNITS, WIDE, OUTPUTS = 3, 7, 2, 9, 41, 4


def data(*shape, seed=6):
    return np.random.default_rng(seed).normal(0.4, 1.0, shape).astype("float32")


def chain(kind, readout="membrane", recurrence="dense", widths=(UNITS, WIDE, 5)):
    """Layers of unequal widths, one too wide for the decays that a core holds; weights that fire now and then."""
    options = {"recurrence": recurrence} if kind is RLIF else {}
    x = inputs = keras.Input((None, FEATURES), name="strain")
    for number, units in enumerate(widths, start=1):
        output = readout if number == len(widths) else "spikes"
        x = kind(units, return_sequences=True, reset="zero", output=output, name=f"spiking_{number}", **options)(x)
    start = keras.initializers.GlorotUniform(seed=1)
    model = keras.Model(inputs, keras.layers.Dense(OUTPUTS, kernel_initializer=start, name="readout")(x))
    for seed, layer in enumerate(spiking_layers(model)):
        weights = draw(layer.cell, layer.cell.kernel.shape[0], seed)
        if seed:  # many spikes arrive at once
            weights["kernel"] = weights["kernel"] / 3
        assign(layer.cell, weights)
    return model


def by_loops(quantised, model, inputs):
    """Spikes and membranes of a chain by the loops of the oracle, and the weights that each projection added up."""
    found, source, raster = {}, None, None
    for layer in spiking_layers(model):
        of = quantised.layers[layer.name]
        recurrent = of.weights(layer.name) if layer.name in of.kernels else None
        if recurrent is not None and recurrent.ndim == 1:
            recurrent = np.diag(recurrent)
        spikes, membranes = [], []
        for path, values in enumerate(inputs.astype("float64")):
            if source is None:
                weights = [np.asarray(weight, "float64") for weight in (layer.cell.kernel, layer.cell.bias)]
                currents = (values @ weights[0] + weights[1]) * of.scale
                biases = np.vectorize(chip.bias_register)(currents)
                sources = []
            else:
                biases = np.broadcast_to(of.bias, (TIME, of.bias.size))
                sources = [(raster[path], of.weights(source))]
            fired, before = chip.layer(sources, biases, of.decay, of.threshold, recurrent)
            spikes.append(fired)
            membranes.append(before)
        source, raster = layer.name, np.stack(spikes)
        found[layer.name] = raster, np.stack(membranes)
    return found


KINDS = [(LIF, "dense"), (RLIF, "dense"), (RLIF, "one_to_one")]


@pytest.mark.parametrize("readout", ["membrane", "spikes"])
@pytest.mark.parametrize(("kind", "recurrence"), KINDS, ids=["lif", "rlif", "one_to_one"])
def test_the_emulator_computes_what_loops_over_integers_do(kind, recurrence, readout):
    """Every spike and every membrane of every layer is equal, on a network that lies on several cores."""
    model = chain(kind, readout, recurrence)
    inputs = data(PATHS, TIME, FEATURES)
    run = simulate_on_loihi(model, inputs)
    expected = by_loops(quantise(model), model, inputs)
    assert len(run.usage) > len(expected), "a vacuous test: no layer lies on several cores"
    assert run.steps == TIME + 2
    for name, (spikes, membranes) in expected.items():
        assert 0.02 < spikes.mean() < 0.98, f"a vacuous test: {name} is silent or always fires"
        np.testing.assert_array_equal(run.spikes[name], spikes)
        np.testing.assert_array_equal(run.records[name].membranes, membranes)
        assert run.records[name].clipped == run.records[name].saturated == 0
    last = spiking_layers(model)[-1]
    emitted = (run.spikes if readout == "spikes" else run.membranes)[last.name]
    kernel = np.asarray(model.get_layer("readout").kernel)
    np.testing.assert_allclose(run.outputs, emitted @ kernel, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "recurrence"), KINDS, ids=["lif", "rlif", "one_to_one"])
def test_nengo_loihi_accepts_every_number_unchanged(kind, recurrence):
    """Its own checks of a block pass, and its own conversions to the chip's formats do not change the integers."""
    from nengo_loihi.builder import discretize
    from nengo_loihi.builder.validate import validate_block

    layers = quantise(chain(kind, recurrence=recurrence)).layers
    made = loihi_cores.build_chip(layers, "test")
    synapses = 0
    for name, parts in made.blocks.items():
        for block, neurons in parts:
            validate_block(block)
            mantissa, exponent = discretize.vth_to_manexp(block.compartment.vth)
            np.testing.assert_array_equal(mantissa * 2**exponent, 64 * layers[name].threshold[neurons])
            if layers[name].bias is not None:
                mantissa, exponent = discretize.bias_to_manexp(layers[name].bias[neurons])
                np.testing.assert_array_equal(mantissa * 2**exponent, layers[name].bias[neurons])
            for synapse in block.synapses:
                synapses += 1
                weights = np.concatenate([row.ravel() for row in synapse.weights])
                # It takes twice the mantissa, of which its format for weights of both signs drops the last bit.
                doubled = weights / 2.0 ** (6 + synapse.synapse_cfg.weight_exp)
                np.testing.assert_array_equal(discretize.discretize_weights(synapse.synapse_cfg, doubled), weights)
    assert synapses == sum(len(of) for of in made.synapses.values()) > 0


def layer_with(kind, name, kernel, **weights):
    """A layer with known weights, by default decay 0.5 and threshold 1, to be called on its input."""
    kernel = np.array(kernel, "float32")
    options = {"recurrence": "dense"} if kind is RLIF else {}
    layer = kind(kernel.shape[1], return_sequences=True, reset="zero", name=name, **options)
    layer.build((None, None, kernel.shape[0]))
    values = {"decay": 0.5, "threshold": 1.0, "bias": 0.0} | weights
    for weight, value in ({"kernel": kernel} | values).items():
        variable = getattr(layer.cell, weight)
        variable.assign(np.broadcast_to(np.array(value, "float32"), variable.shape))
    return layer


def test_a_chain_and_a_recurrence_by_hand():
    """Input 1.5 at the first and fourth step. The first layer fires at once; the second receives it in the same step.

    In the second layer, neuron 0 fires with the first layer. Neuron 1 receives the spike of neuron 0 exactly one step
    later, and fires. Neuron 2 receives 0.75 from the first layer, half of which is left at the next step; its membrane
    is then 0.375 / 2 + 0.5 by the spike of neuron 1, then 0.6875 / 2 + 0.75, where it fires and is cleared.
    """
    inputs = np.array([1.5, 0, 0, 1.5, 0], "float32")[None, :, None]
    x = start = keras.Input((None, 1))
    x = layer_with(LIF, "first", [[1.0]])(x)
    recurrent = [[0, 1.25, 0], [0, 0, 0.5], [0, 0, 0]]
    x = layer_with(RLIF, "second", [[1.25, 0, 0.75]], recurrent_kernel=recurrent)(x)
    model = keras.Model(start, keras.layers.Identity()(x))
    run = simulate_on_loihi(model, inputs)
    np.testing.assert_array_equal(run.spikes["first"][0, :, 0], [1, 0, 0, 1, 0])
    np.testing.assert_array_equal(run.spikes["second"][0, :, 0], [1, 0, 0, 1, 0])
    np.testing.assert_array_equal(run.spikes["second"][0, :, 1], [0, 1, 0, 0, 1])
    assert run.steps == 6
    # Half a unit of the mantissa for each of the few weights; 1.25 is 127 units, or 90 because of the threshold.
    tolerance = 4 * 1.25 / 90 / 2
    membranes = [[1.25, 0, 0, 1.25, 0], [0, 1.25, 0, 0, 1.25], [0.75, 0.375, 0.6875, 1.09375, 0]]
    np.testing.assert_allclose(run.membranes["second"][0].T, membranes, atol=tolerance)
    np.testing.assert_array_equal(run.outputs, run.spikes["second"])


def spikes_in_keras(model, inputs):
    """Spikes by layer: its output, or the steps in which its membrane reaches the threshold."""
    layers = spiking_layers(model)
    outputs = keras.Model(model.input, [layer.output for layer in layers])(inputs)
    found = {}
    for layer, output in zip(layers, outputs, strict=True):
        output, threshold = numpy_of([output, layer.cell.threshold])
        found[layer.name] = output if layer.cell.output == "spikes" else output >= threshold
    return found


def test_several_inputs_and_outputs_layers_on_the_host_and_a_layer_with_inputs_from_host_and_chip():
    """Against Keras, on a network whose quantised copy happens to fire the same spikes."""
    strain, heat = keras.Input((None, FEATURES), name="strain"), keras.Input((None, 1), name="heat")
    dense = [keras.initializers.GlorotUniform(seed=seed) for seed in range(3)]
    hidden = keras.layers.Dense(3, activation="tanh", kernel_initializer=dense[0], name="host")(strain)
    first = LIF(UNITS, return_sequences=True, reset="zero", name="first")(hidden)
    joined = keras.layers.Concatenate(name="joined")([heat, keras.layers.Dropout(0.3)(first)])
    second = RLIF(5, return_sequences=True, reset="zero", output="membrane", name="second")(joined)
    third = LIF(6, reset="zero", name="third")(first)
    outputs = [
        keras.layers.Dense(2, kernel_initializer=dense[1], name="path")(second),
        keras.layers.Dense(1, kernel_initializer=dense[2], name="end")(third),
    ]
    model = keras.Model([strain, heat], outputs)
    for seed, layer in enumerate(spiking_layers(model)):
        assign(layer.cell, draw(layer.cell, layer.cell.kernel.shape[0], seed))
    inputs = [data(PATHS, TIME, FEATURES), data(PATHS, TIME, 1, seed=2)]
    quantised = quantise(model)
    run = simulate_on_loihi(model, dict(zip(("strain", "heat"), inputs, strict=True)))
    expected = spikes_in_keras(quantised.model, inputs)
    for name in ("first", "second"):
        np.testing.assert_array_equal(run.spikes[name], expected[name])
        assert 0 < expected[name].mean() < 1
    np.testing.assert_array_equal(run.spikes["third"][:, -1], expected["third"])
    # The host's currents have 12 bits on the chip, 2.4e-4 of their size, and are a few units large.
    for output, reference in zip(run.outputs, quantised.model(inputs), strict=True):
        np.testing.assert_allclose(output, reference, atol=5e-3)
    assert run.outputs[0].shape == (PATHS, TIME, 2)
    assert run.outputs[1].shape == (PATHS, 1)


@pytest.mark.parametrize("kind", [LIF, RLIF], ids=["lif", "rlif"])
def test_as_many_synaptic_events_as_the_profile_counts(kind):
    """On paths on which the quantised network fires the same spikes in Keras and on the chip."""
    model = chain(kind, "spikes")
    inputs = data(PATHS, TIME, FEATURES)
    quantised = quantise(model).model
    run = simulate_on_loihi(model, inputs)
    for name, spikes in spikes_in_keras(quantised, inputs).items():
        np.testing.assert_array_equal(run.spikes[name], spikes)
    report = profile(quantised, inputs)
    compared = 0
    for name, record in run.records.items():
        for projection in report[name].projections:
            if projection.event_driven:
                assert record.events[projection.source] == projection.accumulates > 0
                compared += 1
    assert compared == (2 if kind is LIF else 5)


@pytest.mark.parametrize("name", ["lif-elasticity-loihi"])
def test_a_trained_network_keeps_its_error_on_the_chip(name):
    """On paths of its own task, of another seed."""
    model = kspike_reg.load(name)
    (paths,) = datasets.generate("elasticity", [48], seed=11)
    run = simulate_on_loihi(model, paths.inputs)
    quantised = quantise(model).model
    errors = [
        np.sqrt(np.mean((prediction - paths.targets) ** 2))
        for prediction in (model.predict(paths.inputs, verbose=0), run.outputs)
    ]
    assert errors[1] < 1.5 * errors[0]
    for layer, spikes in spikes_in_keras(quantised, paths.inputs.astype("float32")).items():
        # A membrane that is near its threshold, to within the 12 bits of a current, may fire in one of them alone.
        assert np.mean(run.spikes[layer] == spikes) > 0.999


def test_paths_that_differ_in_length_are_run_to_the_longest():
    """NaN after the end of a path does not change its outputs."""
    inputs, lengths = data(PATHS, TIME, FEATURES), np.array([7, 3, 5])
    padded = np.where(np.arange(TIME)[None, :, None] < lengths[:, None, None], inputs, np.nan)
    run = simulate_on_loihi(chain(LIF), datasets.Paths(padded, None, ("a", "b"), lengths=lengths))
    whole = simulate_on_loihi(chain(LIF), inputs)
    for path, length in enumerate(lengths):
        np.testing.assert_array_equal(run.outputs[path, :length], whole.outputs[path, :length])


def test_an_input_without_time_and_inputs_of_unequal_length():
    strain, steel = keras.Input((None, 1), name="strain"), keras.Input((3,), name="steel")
    at_every_step = keras.layers.RepeatVector(TIME)(steel)
    spikes = layer_with(LIF, "receiver", np.ones((4, 2)))(keras.layers.Concatenate()([strain, at_every_step]))
    model = keras.Model([strain, steel], spikes)
    inputs = [data(PATHS, TIME, 1), data(PATHS, 3)]
    run = simulate_on_loihi(model, inputs)
    np.testing.assert_array_equal(run.outputs, model(inputs))
    assert 0 < run.outputs.mean() < 1
    other = keras.Input((None, 1), name="other")
    layers = [layer_with(LIF, name, [[1.0]]) for name in ("one", "two")]
    model = keras.Model([strain, other], [layer(x) for layer, x in zip(layers, (strain, other), strict=True)])
    with pytest.raises(InputError, match=r"as many steps.*'two': \(3, 6\)"):
        simulate_on_loihi(model, [data(PATHS, TIME, 1), data(PATHS, TIME - 1, 1)])


def test_progress_is_shown_path_by_path(monkeypatch):
    done = []
    monkeypatch.setattr(ProgressBar, "done", lambda bar, count: done.append((bar.total, count)))
    simulate_on_loihi(chain(LIF), data(PATHS, TIME, FEATURES), progress=True)
    assert done == [(3, 1), (3, 2), (3, 3)]


def test_simulate_runs_on_the_emulator():
    model, inputs = chain(RLIF), data(PATHS, TIME, FEATURES)
    run, same = simulate(model, inputs, simulator="loihi"), simulate_on_loihi(model, inputs)
    np.testing.assert_array_equal(run.outputs, same.outputs)
    for quantity in ("spikes", "membranes"):
        for name, values in getattr(same, quantity).items():
            np.testing.assert_array_equal(getattr(run, quantity)[name], values)


def test_a_run_is_a_recording():
    """As from Keras: records by layer, whose neurons fire where their membranes reach the thresholds of the chip."""
    model, inputs = chain(RLIF), data(PATHS, TIME, FEATURES)
    run, quantised = simulate_on_loihi(model, inputs), quantise(model)
    assert isinstance(run, Recording)
    assert list(run) == ["spiking_1", "spiking_2", "spiking_3"]
    for name, record in run.items():
        assert isinstance(record, Record)
        assert record.spikes.shape == record.membranes.shape == (PATHS, TIME, quantised.layers[name].scale.size)
        np.testing.assert_array_equal(record.spikes, run.spikes[name])
        np.testing.assert_array_equal(record.membranes, run.membranes[name])
        np.testing.assert_array_equal(record.spikes, record.membranes >= record.thresholds)
        # The layer's own thresholds are in single precision.
        expected = quantised.model.get_layer(name).cell.threshold
        np.testing.assert_allclose(record.thresholds, expected, rtol=1e-7)
        assert 0 < record.spikes.mean() < 1
    recorded = evaluation.records(quantised.model, inputs)
    assert list(recorded) == list(run)
    for name, record in recorded.items():
        assert np.mean(record.spikes == run[name].spikes) > 0.9


# -------------------------------------------------------------------------------------------- what does not fit a chip


@pytest.mark.parametrize(
    ("full", "units", "fan_in", "decays", "thresholds", "cores"),
    [
        # 1024 neurons on the first core, 276 on the second.
        ("compartments", 1300, 0, 1, 1, 2),
        # 100 decays, one after the other: 32, 32, 32 and 4 of them, of three or four neurons each.
        ("decays", 330, 0, 100, 1, 4),
        # 20 thresholds, one after the other, and one decay: 16 of them, then 4.
        ("thresholds", 90, 0, 1, 20, 2),
        # 2^20 bits are 16384 words of 64, five for each of 3000 axons; 10 bits and 8 for each weight: 38 weights.
        ("synapse_bits", 100, 3000, 1, 1, 3),
    ],
)
def test_neurons_are_placed_until_a_core_is_full(full, units, fan_in, decays, thresholds, cores):
    of = LayerIntegers(
        name="receiver",
        scale=np.ones(units),
        kernels={"sender": (np.ones((fan_in, units), int), 0)} if fan_in else {},
        decay=100 + np.arange(units) % decays,
        threshold=1 + np.arange(units) % thresholds,
        bias=np.zeros(units, int),
        raised=0,
    )
    parts = loihi_cores.place(of)
    assert len(parts) == cores
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(units))
    for part in parts:
        assert len(part) <= 1024
        assert np.unique(of.decay[part]).size <= 32
        assert np.unique(of.threshold[part]).size <= 16
        if fan_in:
            assert len(part) <= 38


def test_a_recurrent_weight_of_zero_is_a_synapse_too():
    """One to one: two spikes in each step before the last, and one event for each, whatever its weight."""
    inputs = keras.Input((None, 1))
    layer = RLIF(2, return_sequences=True, reset="zero", recurrence="one_to_one", name="fires")
    model = keras.Model(inputs, layer(inputs))
    assign(layer.cell, {"kernel": np.ones((1, 2)), "recurrent_kernel": np.array([0.0, 0.25]), "bias": np.zeros(2)})
    run = simulate_on_loihi(model, np.full((1, 3, 1), 2.0))
    assert run.spikes["fires"].all()
    assert run.records["fires"].events == {"fires": 4}


def test_a_network_too_large_for_a_core_or_the_chip(monkeypatch):
    inputs = keras.Input((None, 1))
    receiver = LIF(2, return_sequences=True, reset="zero", name="receiver")
    sender = LIF(4100, return_sequences=True, reset="zero", name="sender")
    model = keras.Model(inputs, receiver(sender(inputs)))
    with pytest.raises(InputError, match=r"'receiver' does not fit Loihi: 4100 input axons on a core, which has 4096"):
        simulate_on_loihi(model, data(1, 2, 1))
    monkeypatch.setattr(loihi_cores, "CORES", 3)
    with pytest.raises(InputError, match=r"takes 4 cores, a chip has 3.*learn_decay=False"):
        simulate_on_loihi(chain(LIF), data(1, 2, FEATURES))


def test_currents_beyond_the_register_are_counted():
    """The first layer's scale is chosen for inputs up to four deviations; these are a thousand times as large."""
    run = simulate_on_loihi(chain(LIF), 1e4 * data(PATHS, TIME, FEATURES))
    assert run.records["spiking_1"].clipped > 0
    assert run.records["spiking_2"].clipped == 0


def test_an_overflow_on_the_chip_is_an_error(monkeypatch):
    """It cannot happen at the scale that we choose, so the test raises our limit. Fifty spikes arrive at once."""
    x = inputs = keras.Input((None, 1))
    x = layer_with(LIF, "first", np.ones((1, 50)))(x)
    model = keras.Model(inputs, layer_with(LIF, "second", np.ones((50, 2)))(x))
    assert simulate_on_loihi(model, np.full((1, 2, 1), 2.0)).spikes["second"].all()
    monkeypatch.setattr(loihi_integers, "INPUT_LIMIT", 2**30)
    with pytest.raises(InputError, match="Overflow in q0 at step 1"):
        simulate_on_loihi(model, np.full((1, 2, 1), 2.0))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (data(PATHS, TIME, 3), r"'strain' of shape \(n, T, 2\), received \(3, 7, 3\)"),
        (data(PATHS, FEATURES), r"received \(3, 2\)"),
        (data(0, TIME, FEATURES), "at least one path"),
        (np.full((PATHS, TIME, FEATURES), np.nan), "expected finite numbers"),
        ([data(PATHS, TIME, FEATURES)] * 2, r"received \(2, 3, 7, 2\)"),
        ({"stress": data(PATHS, TIME, FEATURES)}, r"takes the inputs \['strain'\], received \['stress'\]"),
        ([["a", "b"]], "expected numbers"),
    ],
)
def test_inputs_that_do_not_fit(inputs, message):
    with pytest.raises(InputError, match=message):
        simulate_on_loihi(chain(LIF), inputs)
