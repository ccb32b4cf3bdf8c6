"""The kinds of networks that `build` knows, by name; importing this module does not import Keras."""

from kspike_reg.neurons.registry import SPIKING
from kspike_reg.registry import Registry

__all__ = ["BASELINES", "KINDS", "SPIKING"]

BASELINES = Registry(
    {
        "dense": "keras.layers:Dense",
        "rnn": "keras.layers:SimpleRNN",
        "gru": "keras.layers:GRU",
        "lstm": "keras.layers:LSTM",
    }
)
KINDS = (*SPIKING, *BASELINES)
