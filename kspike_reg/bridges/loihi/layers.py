"""Which layers of a network go onto the chip, and what each of them hears: real values from the host, or spikes.

    real values - host - bias currents - LIF, RLIF on the chip - spikes, membranes - host - answer

Whatever is not a spiking layer stays on the host, which works in two sweeps: before the chip, and after it.
"""

from dataclasses import dataclass

import keras
import numpy as np

from kspike_reg.errors import InputError
from kspike_reg.network.graph import IDLE, Use, graph_of
from kspike_reg.neurons import SLSTMCell
from kspike_reg.neurons.cell import SpikingCell

__all__ = ["ChipLayer", "Heard", "Plan", "plan_of"]


@dataclass(frozen=True)
class Heard:
    """Neighbouring values on the last axis of what a layer hears, all from one place.

    Attributes:
        width: how many.
        slot: the slot that holds them.
        source: name of the layer on the chip whose spikes they are; None for real values from the host.
    """

    width: int
    slot: int
    source: str | None = None


@dataclass(frozen=True, eq=False)
class ChipLayer:
    """One spiking layer that runs on the chip.

    Attributes:
        use: how the model uses it.
        heard: what it hears, in the order of the kernel's rows.
        delay: how many of the chip's steps it is behind the first layer: spikes arrive one step after they are sent.
    """

    use: Use
    heard: tuple
    delay: int

    @property
    def name(self):
        return self.use.name

    @property
    def cell(self):
        return self.use.layer.cell

    @property
    def recurrent(self):
        return hasattr(self.cell, "recurrent_kernel")

    def rows(self):
        """Pairs of what is heard and the slice of the kernel's rows that belongs to it."""
        ends = np.cumsum([part.width for part in self.heard]).tolist()
        return [(part, slice(end - part.width, end)) for part, end in zip(self.heard, ends, strict=True)]

    def weight(self, name):
        """A weight by its name in the cell, as a NumPy array in double precision; None where there is none."""
        value = getattr(self.cell, name, None)
        return None if value is None else np.asarray(keras.ops.convert_to_numpy(value), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Plan:
    """A network split between host and chip.

    Attributes:
        graph: the whole network, as `kspike_reg.network.graph` reads it.
        layers: those on the chip, in the order of running.
    """

    graph: object
    layers: tuple

    def sweep(self, values, chip_too=False):
        """Compute in Keras all that can be computed, in place.

        Args:
            values: tensors by slot; filled further.
            chip_too: whether the layers that belong on the chip are computed as well.
        """
        left_out = set() if chip_too else {layer.use for layer in self.layers}
        for use in self.graph.uses:
            if use in left_out or use.outputs[0] in values or any(slot not in values for slot in use.inputs):
                continue
            args, kwargs = use.arguments.fill_in({symbol: values[slot] for symbol, slot in use.slots})
            given = keras.tree.flatten(use.layer(*args, **kwargs))
            values.update(zip(use.outputs, given, strict=True))


def plan_of(model, who):
    """Split a network between host and chip.

    Args:
        model: a functional or sequential `keras.Model`, built.
        who: who asks, for the message.

    Raises:
        InputError: a model that cannot be looked into, without a spiking layer, or with one that the chip cannot run.
    """
    graph = graph_of(model, who)
    # By slot: what hearers of it hear. None for what the host knows only after the chip has run.
    heard = {slot: (Heard(tensor.shape[-1], slot),) for slot, tensor in enumerate(graph.inputs)}
    layers = {}
    for use in graph.uses:
        if use.makes_mask or isinstance(use.layer, keras.layers.Masking):
            raise InputError(f"{who}: the layer {use.name!r} makes a mask, which no chip has; give paths of one length")
        inputs = [heard[slot] for slot in use.inputs]
        if isinstance(use.layer, keras.layers.RNN) and isinstance(use.layer.cell, SpikingCell):
            layers[use.name] = _chip_layer(use, inputs, layers, who)
            given = _given(use)
        elif None in inputs:
            given = None
        elif isinstance(use.layer, IDLE) or _joins_neurons(use):
            given = sum(inputs, ())
        elif any(part.source for parts in inputs for part in parts):
            given = None
        else:
            given = (Heard(use.given[0].shape[-1], use.outputs[0]),)
        heard |= dict.fromkeys(use.outputs, given)
    if not layers:
        raise InputError(
            f"{who}: the model {model.name!r} has no spiking layer to run on the chip; "
            "train one with kspike-reg train --kind lif --reset zero"
        )
    return Plan(graph, tuple(layers.values()))


def _given(use):
    """What hearers of a layer on the chip hear: its spikes, or what the host makes of its membranes or last step."""
    if use.layer.cell.output == "spikes" and use.layer.return_sequences:
        return (Heard(use.layer.cell.units, use.outputs[0], use.name),)
    return None


def _joins_neurons(use):
    return isinstance(use.layer, keras.layers.Concatenate) and use.layer.axis in (-1, len(use.given[0].shape) - 1)


def _chip_layer(use, inputs, layers, who):
    layer, cell = use.layer, use.layer.cell
    place = f"{who}: the layer {use.name!r}"
    if isinstance(cell, SLSTMCell):
        raise InputError(f"{place} is an SLSTM, whose gates multiply; the chip runs LIF and RLIF alone, so train those")
    if cell.reset != "zero":
        raise InputError(
            f"{place} has reset={cell.reset!r}; the chip clears the membrane after a spike, so train the network with "
            "kspike-reg train --reset zero, or kspike_reg.build(..., reset='zero')"
        )
    for option in ("go_backwards", "stateful", "return_state"):
        if getattr(layer, option):
            raise InputError(f"{place} has {option}=True; the chip runs forwards from rest and gives spikes alone")
    if any(other.use.layer is layer for other in layers.values()):
        raise InputError(f"{place} is used twice; give each use a layer of its own")
    if len(inputs) > 1:
        raise InputError(f"{place} takes an initial state; the chip starts from rest")
    if inputs[0] is None:
        raise InputError(
            f"{place} hears real values that come out of other spiking layers; on the chip a layer hears spikes "
            "(output='spikes', return_sequences=True), and the host speaks before the chip runs or after it, once"
        )
    sources = [part.source for part in inputs[0] if part.source]
    if len(set(sources)) < len(sources):
        raise InputError(f"{place} hears the same spikes twice ({', '.join(sources)}); join each layer's once")
    delays = {source: layers[source].delay for source in sources}
    if len(set(delays.values())) > 1:
        raise InputError(
            f"{place} hears layers that are not equally far from the input ({', '.join(sorted(delays))}); each layer "
            "costs one step of the chip, so their spikes would meet at different times"
        )
    if any(len(tensor.shape) != 3 for tensor in use.heard):
        raise InputError(f"{place} hears no paths of shape (batch, time, features)")
    return ChipLayer(use, inputs[0], max(delays.values(), default=-1) + 1)
