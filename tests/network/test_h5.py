"""The old .h5 format of Keras: it replaces each string of a configuration that names a Keras function."""

import keras
import numpy as np
import pytest

from conformance.table import ROWS
from kspike_reg import InputError, build, neurons
from kspike_reg.datasets import Standardiser
from kspike_reg.network.physical import PhysicalModel, in_physical_units, scaling_of

ATTACK = pytest.mark.attack("Files", "models in the old .h5 format")


def _through_h5(model, folder):
    model.save(folder / "model.h5")
    return keras.models.load_model(folder / "model.h5", compile=False)


@ATTACK
@pytest.mark.parametrize("name", ROWS)
def test_every_layer_comes_back_from_h5(name, tmp_path):
    row = ROWS[name]
    layer = row.build(**({"return_sequences": True} if row.recurrent else {}))
    inputs = keras.Input((None, row.features))
    model = keras.Model(inputs, layer(inputs))
    loaded = _through_h5(model, tmp_path)
    found, expected = ((each.cell if row.is_cell else each) for each in (loaded.layers[1], layer))
    assert found.get_config() == expected.get_config()
    # The same weights on the same machine: the same bits.
    np.testing.assert_array_equal(
        loaded.predict(row.inputs(), verbose=0), model.predict(row.inputs(), verbose=0), strict=True
    )


@ATTACK
@pytest.mark.parametrize("text", ["subtract", "add", "relu", "dot", "concatenate"])
def test_options_that_are_named_like_keras_functions_stay_text(text):
    """Keras 3 holds all of these names, as functions, in the table that it replaces strings by."""
    function = getattr(keras.layers, text, None) or getattr(keras.activations, text)
    config = neurons.LIFCell(3, reset="subtract").get_config() | {"reset": function}
    if text == "subtract":
        assert neurons.LIFCell.from_config(config).reset == "subtract"
    else:
        with pytest.raises(InputError, match=f"unknown reset {text!r}"):
            neurons.LIFCell.from_config(config)


@ATTACK
@pytest.mark.parametrize("kind", ["rlif", "slstm"])
def test_whole_networks_come_back_from_h5(kind, tmp_path):
    network = build(kind, units=3, population=4, depth=2, outputs=2, readout="spikes", seed=5)
    sides = (
        Standardiser((0.5,), (2.0,), ("strain",), (-3.0,), (4.0,)),
        Standardiser((7.0, -1.0), (3.0, 5.0), ("stress", "heat")),
    )
    paths = np.linspace(-3, 4, 14).reshape(2, 7, 1)
    for model in (network, in_physical_units(network, *sides)):
        loaded = _through_h5(model, tmp_path)
        assert type(loaded) is type(model)
        np.testing.assert_array_equal(loaded.predict(paths, verbose=0), model.predict(paths, verbose=0))
    assert isinstance(loaded, PhysicalModel)
    assert scaling_of(loaded)[0].lower == [-3.0]
