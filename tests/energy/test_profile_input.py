"""Input that the profiler refuses, and the messages."""

import keras
import numpy as np
import pytest

from kspike_reg import InputError, build, datasets
from kspike_reg.energy import Cost, Synapses, profile, register_layer
from kspike_reg.energy.counts import _REGISTRY
from kspike_reg.neurons import LIF, RLIF
from oracles.backend import torch_arrays

pytestmark = torch_arrays

DATA = np.linspace(-1, 1, 24).reshape(2, 6, 2)
BROKEN = DATA.copy()
BROKEN[1, 2, 1] = np.nan


@pytest.fixture(scope="module")
def model():
    return build("lif", features=2, units=3, population=2, depth=1)


@pytest.mark.parametrize(
    ("inputs", "mask", "complaint"),
    [
        (None, None, "no data"),
        (DATA[:0], None, "no data"),
        (DATA[..., :1], None, r"shape \(n, T, 2\), received \(2, 6, 1\)"),
        (DATA[0], None, r"shape \(n, T, 2\), received \(6, 2\)"),
        (DATA[:, :0], None, "received"),
        (BROKEN, None, r"nan at \(1, 2, 1\)"),
        (DATA * 1e300, None, "fit float32"),
        (DATA.astype(str), None, "expected numbers"),
        ([DATA, DATA], None, "shape|takes 1 inputs"),
        ({"strain": DATA}, None, "takes the inputs"),
        (DATA, np.ones((2, 5)), r"mask is of shape \(2, 5\)"),
        (DATA, np.full((2, 6), 2), "zeros and ones"),
        (DATA, np.array([[1, 1, 1, 1, 0, 0], [1, 0, 1, 1, 1, 1]]), "mask of path 1"),
        (DATA, np.array([[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]]), "mask of path 0"),
    ],
)
def test_invalid_data_are_refused(model, inputs, mask, complaint):
    with pytest.raises(InputError, match=complaint):
        profile(model, inputs, mask=mask)


def test_nan_in_the_padding_is_ignored(model):
    mask = np.arange(6) < np.array([4, 6])[:, None]
    padded = np.where(mask[..., None], DATA, np.nan)
    assert profile(model, padded, mask=mask) == profile(model, DATA, mask=mask)


def test_paths_provide_their_mask(model):
    paths = datasets.Paths(DATA, None, ("strain", "temperature"))
    with pytest.raises(InputError, match="mask of their own"):
        profile(model, paths, mask=np.ones((2, 6)))


@pytest.mark.parametrize("option", ["batch_size", "bits"])
def test_sizes_are_positive_integers(model, option):
    with pytest.raises(InputError, match=f"expected {option} to be a positive integer"):
        profile(model, DATA, **{option: 0})


def test_outputs_that_are_not_finite_are_refused():
    model = build("lif", features=2, units=3, population=2, depth=1)
    kernel = model.get_layer("decoding").cell.kernel
    kernel.assign(np.full(kernel.shape, np.inf))
    with pytest.raises(InputError, match="prediction for path 0 is not finite"):
        profile(model, DATA)


# --------------------------------------------------------------------------------------------------------- networks


class Odd(keras.layers.Dense):
    """A subclass, which may compute something else than its parent."""


def around(*layers):
    x = inputs = keras.Input((None, 2))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def test_a_layer_that_is_not_registered_is_refused():
    model = around(keras.layers.Dense(4), Odd(3, name="strange"))
    with pytest.raises(
        InputError, match=r"'strange' of class Odd has no registered cost.*register_layer\(Odd, function\)"
    ):
        profile(model, DATA)
    register_layer(Odd, lambda layer, shape: Cost(inputs=Synapses("kernel", fan_out=layer.units)))
    try:
        assert profile(model, DATA)["strange"].multiply_accumulates == 12 * 4 * 3
        with pytest.raises(InputError, match="Odd is registered already"):
            register_layer(Odd, lambda layer, shape: Cost())
    finally:
        del _REGISTRY[Odd]


def test_an_operation_that_is_not_a_layer_is_refused():
    inputs = keras.Input((None, 2))
    with pytest.raises(InputError, match="of class Mean has no registered cost"):
        profile(keras.Model(inputs, keras.ops.mean(inputs, axis=-1, keepdims=True)), DATA)


def test_a_model_with_a_call_of_its_own_is_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(InputError, match="cannot look into Own"):
        profile(Own(), DATA)
    with pytest.raises(InputError, match="cannot look into Sequential"):
        profile(keras.Sequential([keras.layers.Dense(2)]), DATA)


def test_states_from_outside_are_refused():
    inputs = keras.Input((None, 2))
    state = keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.LSTM(3)(inputs)))
    started = keras.Model(inputs, RLIF(3, name="started")(inputs, initial_state=[state, state]))
    with pytest.raises(InputError, match="'started' is called with 3 tensors; expected one: initial states"):
        profile(started, DATA)
    with pytest.raises(InputError, match="'returned' returns its state"):
        profile(around(LIF(3, return_state=True, name="returned")), DATA)
    start = keras.Input(batch_shape=(2, None, 2))
    with pytest.raises(InputError, match="'lasting' is stateful"):
        profile(keras.Model(start, LIF(3, stateful=True, name="lasting")(start)), DATA)


def test_padding_is_refused_if_it_would_change_the_outputs():
    mask = np.arange(6) < np.array([4, 6])[:, None]
    backwards = around(LIF(3, go_backwards=True, return_sequences=True, name="back"))
    with pytest.raises(InputError, match="'back' runs backwards"):
        profile(backwards, DATA, mask=mask)
    assert profile(backwards, DATA).steps == 12
    with pytest.raises(InputError, match="'back' runs backwards over masked"):
        profile(around(keras.layers.Masking(), LIF(3, go_backwards=True, return_sequences=True, name="back")), DATA)


def test_inputs_concatenated_in_time_are_refused():
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, keras.layers.Concatenate(axis=1)([inputs, inputs]))
    with pytest.raises(InputError, match="along axis 1"):
        profile(model, DATA)
