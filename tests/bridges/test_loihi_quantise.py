"""The chip's integers against the number formats that NengoLoihi documents, without the emulator."""

import keras
import numpy as np
import pytest

import kspike_reg
from kspike_reg import build
from kspike_reg.bridges.loihi.integers import as_bias
from kspike_reg.bridges.loihi.layers import plan_of
from kspike_reg.bridges.loihi.quantise import quantise
from kspike_reg.errors import InputError
from kspike_reg.network import spiking_layers
from kspike_reg.network.physical import Standardise
from kspike_reg.neurons import LIF, RLIF, SLSTM, LIFCell
from oracles import loihi as chip

FEATURES, UNITS, POPULATION = 2, 23, 6


def network(kind="lif", **options):
    options = {"decay": (0.0, 1.0), "threshold": (0.05, 2.0), "reset": "zero"} | options
    return build(kind, features=FEATURES, units=UNITS, population=POPULATION, depth=2, seed=3, **options)


def weight(layer, name):
    return keras.ops.convert_to_numpy(getattr(layer.cell, name)).astype("float64")


@pytest.mark.parametrize("kind", ["lif", "rlif"])
def test_the_chip_can_store_every_number_of_the_quantised_network(kind):
    """By the definitions of the formats: sign and 8 bits by 2^(7+e), 12-bit decays, 64 times 17 bits, 12-bit biases."""
    model = network(kind)
    quantised = quantise(model)
    first, second = spiking_layers(quantised.model)
    assert set(quantised.layers) == {first.name, second.name}
    for layer in (first, second):
        of = quantised.layers[layer.name]
        kernels = {} if layer is first else {first.name: weight(layer, "kernel")}
        if kind == "rlif":
            kernels[layer.name] = weight(layer, "recurrent_kernel")
        assert set(of.kernels) == set(kernels)
        for source, kernel in kernels.items():
            exponent = of.kernels[source][1]
            mantissas = kernel * of.scale / 2 ** (7 + exponent)
            # Weights are single precision, 127 times 6e-8 off the grid at most.
            np.testing.assert_allclose(mantissas, np.round(mantissas), atol=1e-4)
            assert 64 <= np.abs(mantissas).max() <= 127 + 1e-4, "the mantissa's upper half is left unused"
            assert -7 <= exponent <= 7
        decays = 4096 * (1 - weight(layer, "decay"))
        np.testing.assert_allclose(decays, np.round(decays), atol=1e-3)
        assert decays.min() >= 0
        assert decays.max() <= 4095
        # The chip fires above its threshold, the network at its own: one integer more.
        thresholds = (weight(layer, "threshold") * of.scale - 1) / 64
        np.testing.assert_allclose(thresholds, np.round(thresholds), rtol=1e-6)
        assert thresholds.min() >= 1
        assert thresholds.max() < 2**17
    biases = weight(second, "bias") * quantised.layers[second.name].scale
    np.testing.assert_allclose(biases, [chip.bias_register(round(bias)) for bias in biases], rtol=1e-6)


@pytest.mark.parametrize("kind", ["lif", "rlif"])
def test_the_quantised_network_differs_by_half_a_step_at_most(kind):
    model = network(kind)
    quantised = quantise(model)
    for old, new in zip(spiking_layers(model), spiking_layers(quantised.model), strict=True):
        of = quantised.layers[new.name]
        for source in of.kernels:
            name = "recurrent_kernel" if source == new.name else "kernel"
            step = 2.0 ** (7 + of.kernels[source][1]) / of.scale
            assert np.all(np.abs(weight(old, name) - weight(new, name)) <= 0.5 * step * (1 + 1e-5))
            assert np.any(weight(old, name) != weight(new, name))
        np.testing.assert_allclose(weight(new, "decay"), weight(old, "decay"), atol=0.5 / 4096 + 1e-7)
        np.testing.assert_allclose(weight(new, "threshold"), weight(old, "threshold"), rtol=1e-6)
        assert of.raised == 0
        # Half of the last of 12 bits, or half a unit where there are fewer.
        biases = weight(old, "bias") * of.scale
        difference = weight(new, "bias") * of.scale - biases
        assert np.all(np.abs(difference) <= np.maximum(0.5, np.abs(biases) / 4095) * (1 + 1e-5))
    first = spiking_layers(model)[0]
    np.testing.assert_array_equal(weight(first, "kernel"), weight(spiking_layers(quantised.model)[0], "kernel"))


def test_the_largest_weight_of_every_neuron_uses_its_mantissa():
    """Where nothing else limits the scale: the threshold costs a factor of the square root of two at most."""
    of = quantise(network()).layers["lif_2"]
    mantissas, _ = of.kernels["lif_1"]
    assert np.abs(mantissas).max(axis=0).min() >= 127 / np.sqrt(2) - 1


def test_a_neuron_without_weights_does_not_make_the_others_coarser():
    model = network()
    before = quantise(model).layers["lif_2"]
    cell = spiking_layers(model)[1].cell
    kernel = np.array(keras.ops.convert_to_numpy(cell.kernel))
    kernel[:, 5], kernel[:, 8] = 0.0, 1e-12
    cell.kernel.assign(kernel)
    after = quantise(model).layers["lif_2"]
    others = np.delete(np.arange(UNITS), [5, 8])
    np.testing.assert_array_equal(after.weights("lif_1")[:, others], before.weights("lif_1")[:, others])
    np.testing.assert_array_equal(after.scale[others], before.scale[others])
    assert not after.weights("lif_1")[:, [5, 8]].any()
    assert np.all(np.isfinite(after.scale))


def test_no_sum_of_weights_overflows():
    """Twenty-one bits for the input of one step, even if all spikes of one sign arrive at once."""
    inputs = keras.Input((None, 1))
    x = LIF(900, return_sequences=True, reset="zero", name="many")(inputs)
    layer = LIF(3, return_sequences=True, reset="zero", name="heavy")
    model = keras.Model(inputs, layer(x))
    kernel = np.random.default_rng(0).uniform(0.5, 1.0, (900, 3)) * [1, -1, 0.01]
    layer.cell.kernel.assign(kernel)
    of = quantise(model).layers["heavy"]
    sums = of.weights("many").sum(axis=0)
    assert np.all(np.abs(sums) < 2**21)
    assert np.abs(sums).max() > 2**19, "the range is left unused"


def test_thresholds_are_few_and_a_tiny_one_is_raised():
    model = network()
    layer = spiking_layers(model)[1]
    thresholds = np.linspace(0.01, 3.0, UNITS)
    thresholds[4] = 1e-5
    layer.cell.threshold.assign(thresholds)
    quantised = quantise(model)
    of = quantised.layers[layer.name]
    assert np.unique(of.threshold).size <= 16
    assert of.raised == 1
    assert of.threshold[4] == 1
    found = weight(spiking_layers(quantised.model)[1], "threshold")
    assert found[4] > 1e-5
    np.testing.assert_allclose(np.delete(found, 4), np.delete(thresholds, 4), rtol=1e-6)


def test_a_large_threshold_sets_the_scale():
    """Tiny currents and a threshold of 1000: the largest mantissa of a threshold, half of 2^17 at least."""
    inputs = keras.Input((None, 1))
    layer = LIF(2, return_sequences=True, reset="zero", threshold_initializer=1000.0)
    model = keras.Model(inputs, layer(inputs))
    layer.cell.kernel.assign([[1e-6, 1e-3]])
    (of,) = quantise(model).layers.values()
    assert np.all(of.threshold >= 2**16)
    assert np.all(of.threshold < 2**17)
    np.testing.assert_allclose(of.real_threshold, 1000.0, rtol=1e-12)


def test_biases_have_twelve_bits_and_an_exponent():
    values = np.array([0.4, -3.6, 4095, 4096.9, -40_000, 524_160, 600_000, -1e9])
    registers, beyond = as_bias(values)
    assert registers.tolist() == [chip.bias_register(value) for value in values]
    assert registers.tolist() == [0, -4, 4095, 4096, -40_000, 524_160, 524_160, -524_160]
    assert beyond.tolist() == [False] * 6 + [True] * 2


def test_the_range_of_training_sets_the_scale_of_the_first_layer():
    """The bias register holds the largest current of the range, to within a factor for the threshold."""
    inputs = keras.Input((None, 2))
    scaled = Standardise([1.0, 0.0], [2.0, 0.5], ["a", "b"], lower=[-5.0, 0.0], upper=[2.0, 2.0])(inputs)
    layer = LIF(1, return_sequences=True, reset="zero", threshold_initializer=1.0)
    model = keras.Model(inputs, layer(scaled))
    layer.cell.kernel.assign([[1.5], [-0.25]])
    layer.cell.bias.assign([0.5])
    (of,) = quantise(model).layers.values()
    largest = 1.5 * 3 + 0.25 * 4 + 0.5
    assert 524_160 / np.sqrt(2) / largest < of.scale[0] <= 524_160 / largest


def test_the_original_does_not_change_and_the_copy_has_its_class():
    model = kspike_reg.load("lif-elasticity-loihi")
    before = [value.copy() for value in model.get_weights()]
    quantised = quantise(model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert type(quantised.model) is type(model)
    assert any(np.any(old != new) for old, new in zip(before, quantised.model.get_weights(), strict=True))


def test_layers_in_nested_models_and_cells_in_keras_layers_rnn():
    inputs = keras.Input((None, FEATURES))
    inner_inputs = keras.Input((None, UNITS))
    inner = keras.Model(inner_inputs, LIF(4, return_sequences=True, reset="zero", name="deep")(inner_inputs), name="in")
    first = keras.layers.RNN(LIFCell(UNITS, reset="zero"), return_sequences=True, name="loop")
    model = keras.Model(inputs, keras.layers.Dense(1)(inner(first(inputs))))
    quantised = quantise(model)
    assert list(quantised.layers) == ["loop", "in/deep"]
    assert list(quantised.layers["in/deep"].kernels) == ["loop"]
    plan = plan_of(quantised.model, "test")
    found = plan.layers[1].weight("kernel")
    np.testing.assert_allclose(found, quantised.layers["in/deep"].real_weights("loop"), rtol=1e-6)
    assert [layer.delay for layer in plan.layers] == [0, 1]


# --------------------------------------------------------------------------------------------------- what is refused


def around(*layers):
    x = inputs = keras.Input((None, FEATURES))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x, name="refused")


def lif(**options):
    return LIF(3, **{"return_sequences": True, "reset": "zero", "name": "hidden"} | options)


def skipping():
    """The third layer receives the first and the second, whose spikes of one step of the path arrive in two steps."""
    inputs = keras.Input((None, FEATURES))
    first = lif(name="first")(inputs)
    second = lif(name="second")(first)
    return keras.Model(inputs, lif(name="third")(keras.layers.Concatenate()([first, second])))


def doubled():
    inputs = keras.Input((None, FEATURES))
    first = lif(name="first")(inputs)
    return keras.Model(inputs, lif(name="next")(keras.layers.Concatenate()([first, first])))


def twice():
    inputs, layer = keras.Input((None, 3)), lif()
    return keras.Model(inputs, layer(layer(inputs)))


def from_a_state():
    inputs = keras.Input((None, FEATURES))
    state = [keras.layers.Dense(3)(inputs[:, 0]) for _ in range(2)]
    return keras.Model(inputs, lif()(inputs, initial_state=state))


REFUSED = {
    "SLSTM": (
        lambda: around(SLSTM(3, return_sequences=True, reset="zero")),
        "SLSTMCell cannot run on the chip; its gates multiply; train a network of LIF or RLIF",
    ),
    "subtract": (lambda: around(lif(reset="subtract")), r"'hidden' has reset='subtract'.*train --reset zero"),
    "none": (lambda: around(RLIF(3, reset="none")), "has reset='none'"),
    "backwards": (lambda: around(lif(go_backwards=True)), "go_backwards=True"),
    "masked": (lambda: around(keras.layers.Masking(), lif()), "makes a mask"),
    "membrane": (
        lambda: around(lif(output="membrane"), lif(name="next")),
        "'next' receives real values that depend on other spiking layers",
    ),
    "readout": (
        lambda: around(lif(), keras.layers.Dense(2), lif(name="next")),
        "receives real values that depend on other spiking layers",
    ),
    "skipping": (skipping, r"not equally far from the input \(first, second\)"),
    "doubled": (doubled, r"'next' receives the same spikes twice \(first, first\)"),
    "twice": (twice, "is called twice"),
    "state": (from_a_state, "takes an initial state"),
    "silent": (lambda: around(keras.layers.Dense(2)), "'refused' has no spiking layer"),
    "unbuilt": (lambda: keras.Sequential([lif()]), "expected a built"),
    "no model": (lambda: "lif-elasticity", "expected a built"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_chip_cannot_run_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=f"^quantise: .*{message}"):
        quantise(make())


@pytest.mark.parametrize("name", ["kernel", "recurrent_kernel", "bias", "decay", "threshold"])
def test_weights_that_are_not_finite_are_refused(name):
    model = network("rlif")
    variable = getattr(spiking_layers(model)[1].cell, name)
    values = np.array(keras.ops.convert_to_numpy(variable))
    values.flat[2] = np.nan
    variable.assign(values)
    with pytest.raises(InputError, match=rf"1 of {values.size} numbers in the {name} of the layer 'rlif_2'"):
        quantise(model)


def test_decays_outside_the_chip_s_range_are_refused():
    model = network()
    cell = spiking_layers(model)[0].cell
    cell.decay.assign(np.full(UNITS, 1.25))
    with pytest.raises(InputError, match=r"decays from 1.25 to 1.25"):
        quantise(model)
