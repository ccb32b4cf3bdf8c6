"""The topology of equation 13, its baselines, and arguments that build refuses."""

import keras
import numpy as np
import pytest

from kspike_reg import InputError, build
from kspike_reg.network import BASELINES, KINDS, SPIKING, spiking_layers
from kspike_reg.neurons import LeakyIntegrator, PopulationMean

SIZES = {"features": 2, "outputs": 3, "units": 5, "population": 6, "depth": 2, "seed": 4}


def paths(count=7, steps=4, features=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, steps, features)).astype("float32")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_trains_by_fit_at_once(kind):
    model = build(kind, **SIZES)
    inputs = paths()
    targets = np.repeat(inputs[..., :1], 3, axis=2) * [1.0, -2.0, 0.5]
    before = [weight.copy() for weight in model.get_weights()]
    history = model.fit(inputs, targets, epochs=2, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))
    assert model.predict(inputs, verbose=0).shape == (7, 4, 3)
    changed = [not np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True)]
    assert all(changed), f"weights that do not change: {np.array(model.weights)[~np.array(changed)]}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_layers_are_those_of_equation_13_by_name(kind):
    model = build(kind, **SIZES)
    names = ["inputs", f"{kind}_1", f"{kind}_2", "decoding", "population", "mean"]
    assert [layer.name for layer in model.layers] == names
    assert model.input_shape == (None, None, 2)
    assert [layer.output.shape[-1] for layer in model.layers] == [2, 5, 5, 5, 6, 3]
    hidden, readout = model.layers[1:3], model.layers[3:5]
    assert all(isinstance(layer, (SPIKING | BASELINES)[kind]) for layer in hidden)
    assert all(isinstance(layer, LeakyIntegrator if kind in SPIKING else keras.layers.Dense) for layer in readout)
    assert isinstance(model.layers[5], PopulationMean)
    assert spiking_layers(model) == (hidden if kind in SPIKING else [])


@pytest.mark.parametrize(("readout", "last"), [("membrane", "membrane"), ("spikes", "spikes")])
def test_only_the_last_spiking_layer_may_emit_its_membrane(readout, last):
    layers = spiking_layers(build("lif", **SIZES, readout=readout, reset="zero", surrogate="triangle"))
    assert [layer.cell.output for layer in layers] == ["spikes", last]
    assert {(layer.cell.reset, layer.cell.surrogate) for layer in layers} == {("zero", "triangle")}


def test_parameters_of_the_papers_networks():
    """By hand from the shapes of equation 13 for one input, 3 x 128 neurons and 128 population neurons."""
    first, hidden, readout = 128 * (1 + 1 + 2), 128 * (128 + 1 + 2), 128 * (128 + 1 + 1)
    counts = {"lif": first + 2 * hidden + 2 * readout}
    counts["rlif"] = counts["lif"] + 3 * 128 * 128
    gates = 4 * 128
    counts["slstm"] = sum(gates * (fan_in + 128 + 1) + 128 for fan_in in (1, 128, 128)) + 2 * readout
    assert {kind: build(kind).count_params() for kind in SPIKING} == counts


def test_the_seed_determines_all_weights_and_no_two_layers_are_equal():
    for kind in KINDS:
        one, same, other = (build(kind, **SIZES | {"seed": seed, "depth": 3}).get_weights() for seed in (4, 4, 5))
        assert all(np.array_equal(first, second) for first, second in zip(one, same, strict=True))
        assert any(not np.array_equal(first, second) for first, second in zip(one, other, strict=True))
        drawn = [weight for weight in one if np.ptp(weight) > 0]
        assert len(drawn) > 4
        for index, weight in enumerate(drawn):
            assert not any(weight.shape == rest.shape and np.array_equal(weight, rest) for rest in drawn[index + 1 :])


def test_weights_start_as_in_the_paper():
    model = build("lif", features=2, units=200, population=50)
    for layer in model.layers[1:6]:
        weights = {weight.name: weight.numpy() for weight in layer.weights}
        limit = 1 / np.sqrt(len(weights["kernel"]))
        assert 0.9 * limit < np.abs(weights["kernel"]).max() <= limit
        assert 0.8 * limit < np.abs(weights["bias"]).max() <= limit
        np.testing.assert_array_equal(weights["decay"], np.float32(0.1))
        if "threshold" in weights:
            np.testing.assert_array_equal(weights["threshold"], np.float32(0.1))
    model = build("slstm", features=2, units=200, population=50)
    for layer, name in ((model.layers[1], "threshold"), (model.layers[4], "decay"), (model.layers[5], "decay")):
        values = getattr(layer.cell, name).numpy()
        assert 0 <= values.min() < 0.2 < 0.8 < values.max() < 1


def test_it_is_compiled_with_the_settings_of_the_paper():
    optimizer = build("lif", **SIZES).optimizer
    assert isinstance(optimizer, keras.optimizers.AdamW)
    settings = optimizer.get_config()
    expected = {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "weight_decay": 0.01}
    # The learning rate is a float32 variable.
    assert {name: pytest.approx(settings[name], rel=1e-6) for name in expected} == expected


def test_the_loss_is_the_mean_over_the_valid_steps():
    model = build("lif", **SIZES)
    inputs = paths()
    targets, weights = np.zeros((7, 4, 3), "float32"), np.zeros((7, 4), "float32")
    weights[2, :3] = weights[5, :1] = 1
    prediction = model.predict(inputs, verbose=0)
    expected = np.mean(np.square(prediction)[weights == 1])
    # Sums in float32 in another order.
    assert model.evaluate(inputs, targets, sample_weight=weights, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_steps_may_be_fixed():
    assert build("slstm", **SIZES, timesteps=9).output_shape == (None, 9, 3)


def test_the_summary_is_readable():
    lines = []
    build("rlif", **SIZES).summary(print_fn=lambda line, **_: lines.append(line))
    text = "\n".join(lines)
    for words in (
        "rlif_1 (RLIF)",
        "decoding (LeakyIntegrator)",
        "population (LeakyIntegrator)",
        "mean (PopulationMean)",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "lsnn"}, "unknown kind 'lsnn'; choose one of lif, rlif, slstm, dense, rnn, gru, lstm"),
        (
            {"outputs": 4},
            "a population of 6 neurons cannot be divided into 4 outputs in equal groups; choose a multiple of 4, 8",
        ),
        ({"units": 0}, "expected units to be a positive integer, received units=0"),
        ({"depth": 1.5}, "depth=1.5"),
        ({"features": True}, "features=True"),
        ({"timesteps": -2}, "timesteps=-2"),
        ({"seed": -1}, "expected seed to be a whole number, zero or more, received seed=-1"),
        ({"surrogate": "step"}, "unknown surrogate 'step'"),
        ({"reset": "hard"}, "unknown reset 'hard'; choose one of subtract, zero, none"),
        ({"readout": "voltage"}, "unknown readout 'voltage'; choose one of spikes, membrane"),
    ],
)
def test_invalid_arguments_are_refused_with_their_name(options, words):
    with pytest.raises(InputError, match=words):
        build(**{"kind": "lif"} | SIZES | options)
