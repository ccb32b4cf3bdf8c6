"""KerasSpiking's `ModelEnergy` for Keras 3 and for the neurons of this package."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import keras_spiking
from keras_spiking import config

from kspike_reg.energy.keras_spiking.layer_activity import ACTIVITIES, layer_activities
from kspike_reg.energy.keras_spiking.layer_calls import call_of, calls_of
from kspike_reg.energy.keras_spiking.layer_statistics import STATISTICS, added, statistics_of
from kspike_reg.energy.keras_spiking.summary import summary_string
from kspike_reg.errors import InputError
from kspike_reg.network.graph import first_call, graph_of

__all__ = ["ModelEnergy"]

NO_KERAS_3 = (
    "layers of KerasSpiking 0.3 fail in Keras 3 when they are built, since its RNN has no time_major; use "
    "kspike_reg.neurons.LIF, or count a model of Keras 2 by keras_spiking.ModelEnergy, in a process in which "
    "TF_USE_LEGACY_KERAS=1 is set before TensorFlow is imported"
)


class ModelEnergy(keras_spiking.ModelEnergy):
    """Estimate what a model costs on a device, from connections, neurons and mean activity.

        synaptic energy = energy per synaptic operation * connections * rate * dt * time steps
        neuron energy   = energy per neuron update * neurons * time steps

    As in KerasSpiking, a device that is not spiking computes every connection once, for one time step, whatever
    `timesteps_per_inference` says: a network that maps T steps to T steps costs T times as much. `profile` counts
    operations, separates accumulates from multiply-accumulates and leaves padding out.

    **What counts** is one time step of one sample. Axis 1 of a tensor of three axes and more is time, whether its
    length is known or not, so a `Dense` layer on (batch, 20, 3) counts its kernel once and not 20 times; further axes
    count. Convolutions take axis 1 as a place, as in KerasSpiking: tensors of as many axes as their inputs have time
    there only if its length is open, or if a recurrent or TimeDistributed layer takes them. Gated layers count every
    gate: `4 n (n_in + n)` for LSTM and SLSTM, `3 n (n_in + n)` for GRU. A recurrent layer updates `n` neurons; `Dense`,
    convolutions and activations update one for each output unless they are linear. Layers that only move, scale, add
    or average values count nothing. A layer called twice counts twice; a nested model counts as its layers, unless its
    class is registered.

    **The rate unit.** KerasSpiking takes the mean size of a layer's input for a rate in Hz, since its spikes have
    height 1 / dt. The spikes of this package have height one, and its networks also emit real values. Therefore
    `activity` names the convention:

    - "events": an element that is not zero is one event in its step, a rate of 1 / dt. A spike is one synaptic
      operation for each connection, a real value (the first layer's input, a membrane) is one at every step. The
      recurrent connections of RLIF go by its own spikes. Those of SLSTM, SimpleRNN, GRU and LSTM carry real values and
      count at every step. One step of the network is one step of the device, so energies do not depend on dt.
    - "hertz": the convention of KerasSpiking and of the paper's Table I: the mean size of a layer's input in Hz, for
      all of its connections. For spikes of height one it is 1 / dt too small, 1000 times at 1 ms.
    - None chooses "events" for models with neurons of this package and "hertz" for others.

    Args:
        model: a functional or built Sequential `keras.Model`.
        example_data: whatever `model.predict` takes; it is needed for spiking devices. The outputs of all layers are
            held in memory, and padding counts as steps.
        activity: "events", "hertz" or None.

    Attributes:
        graph: the model as `network.graph.graph_of` reads it.
        node_stats: statistics by call of a layer (`LayerCall`), those of the layers of nested models included.
        layer_stats: connections, neurons and spiking by layer of the model, a nested model being one of them.
        layer_rates: mean rate over the connections of each layer in Hz, at KerasSpiking's default dt, 1 ms.
        devices: constants by name, in joules; those of KerasSpiking, and `v100_paper` with the 2.4 pJ per connection
            (300 W / 125 TFLOP/s) of the paper's Table I, for its reproduction only.

    Raises:
        InputError: a model, a layer or data that cannot be counted.
    """

    # Class attributes in the parent too; here copies.
    devices: dict[str, dict[str, Any]] = {  # noqa: RUF012
        **{name: dict(joules) for name, joules in keras_spiking.ModelEnergy.devices.items()},
        "v100_paper": {"spiking": False, "energy_per_synop": 300 / 125e12, "energy_per_neuron": 0.0},
    }
    layer_stats_computers: dict[type, Callable[..., dict[str, Any]]] = dict(STATISTICS)  # noqa: RUF012

    def __init__(self, model: keras.Model, example_data: Any = None, activity: str | None = None) -> None:
        if activity is not None and activity not in ACTIVITIES:
            raise InputError(
                f"ModelEnergy: unknown activity {activity!r}; choose one of {', '.join(map(repr, ACTIVITIES))} or None"
            )
        _refuse_keras_2(model)
        self.activity = activity
        self.graph = graph_of(model, "ModelEnergy")
        super().__init__(model, example_data)

    @classmethod
    def compute_layer_stats(cls, layer: keras.layers.Layer, node: Any = None) -> dict[str, Any]:
        """The statistics of one call of a layer, by default of its first.

        Args:
            layer: a layer that has been called on symbolic tensors.
            node: its call, a node of Keras or of a graph, or a `LayerCall`.

        Returns:
            A dictionary of "connections", "neurons" and "spiking", or some of them.

        Raises:
            InputError: no layer of Keras 3, or one that has not been called or is not registered, or whose function
                returns a statistic of another name.
        """
        _refuse_keras_2(layer)
        if not isinstance(layer, keras.layers.Layer):
            raise InputError(
                f"ModelEnergy: cannot compute statistics for {layer!r} of class {type(layer).__name__}; expected a "
                "layer of Keras"
            )
        node = first_call(layer) if node is None else node
        if node is None and isinstance(layer, keras_spiking.SpikingActivation):
            raise InputError(f"ModelEnergy: the layer {layer.name!r} has not been called; {NO_KERAS_3}")
        if node is None:
            raise InputError(f"ModelEnergy: the layer {layer.name!r} has not been called; call it on a keras.Input")
        return statistics_of(call_of(node), cls.layer_stats_computers)

    @classmethod
    def register_layer(cls, layer_class: type) -> Callable[[Callable[..., dict[str, Any]]], Callable[..., Any]]:
        """Decorator that registers the function which counts a class of layers, or cells; its subclasses inherit it.

        Args:
            layer_class: the class.

        The function takes one call of the layer, with the attributes `layer`, `input_shapes`, `output_shapes`
        (a tuple, the batch first, or a list of them), `input_tensors` and `output_tensors`, and returns a dictionary
        of "connections" (0 by default), "neurons" (0) and "spiking" (True), per sample and time step:

        ```python
        @ModelEnergy.register_layer(keras.layers.UpSampling1D)
        def upsampling(call):
            return {"connections": call.output_shapes[-1]}
        ```
        """
        return super().register_layer(layer_class)

    @classmethod
    def register_device(
        cls, device_name: str, energy_per_synop: float, energy_per_neuron: float, spiking: bool
    ) -> None:
        """Register a device, or replace one with a warning.

        Args:
            device_name: its name; upper and lower case are the same.
            energy_per_synop, energy_per_neuron: joules for a synaptic operation and a neuron update, >= 0.
            spiking: whether it computes only for inputs that are events.

        Raises:
            InputError: a negative or infinite energy.
        """
        for name, joules in {"energy_per_synop": energy_per_synop, "energy_per_neuron": energy_per_neuron}.items():
            if not 0 <= joules < math.inf:
                raise InputError(
                    f"ModelEnergy: expected {name} of the device {device_name!r} in joules, 0 or more, "
                    f"received {joules!r}"
                )
        super().register_device(str(device_name).lower(), energy_per_synop, energy_per_neuron, spiking)

    def layer_energy(
        self, layer: keras.layers.Layer, device: str, timesteps_per_inference: int = 1, dt: float | None = None
    ) -> tuple[float, float]:
        """Energy of one layer per inference, over all its calls in the model.

        Args:
            layer: a layer of the model.
            device: name of a registered device.
            timesteps_per_inference: time steps of an inference; devices that are not spiking are charged for one.
            dt: length of a time step in seconds, KerasSpiking's default if None; of no effect on "events".

        Returns:
            (synaptic energy, neuron energy), in joules.

        Raises:
            InputError: a layer of another model, an unknown device, or no example data for a spiking one.
        """
        if layer not in self.layer_stats:
            names = ", ".join(repr(each.name) for each in self.layer_stats)
            raise InputError(f"ModelEnergy: expected a layer of the model, one of {names}, received {layer!r}")
        constants, statistics = self._constants_of(device), self.layer_stats[layer]
        events = steps = 1
        if constants["spiking"]:
            if self.example_data is None:
                raise InputError(
                    f"ModelEnergy: the energy on the spiking device {device!r} depends on activity; give example_data"
                )
            events, steps = self.rate(layer, dt) * self._step(dt), timesteps_per_inference
        return (
            constants["energy_per_synop"] * statistics["connections"] * events * steps,
            constants["energy_per_neuron"] * statistics["neurons"] * steps,
        )

    def rate(self, layer: keras.layers.Layer, dt: float | None = None) -> float:
        """Mean rate over a layer's connections on the example data, in Hz; NaN without data.

        Args:
            layer: a layer of the model.
            dt: as in `layer_energy`.

        Returns:
            The rate in Hz.
        """
        if self.example_data is None:
            return math.nan
        activity = self._layer_activity[layer]
        return activity / self._step(dt) if self.activity == "events" else activity

    def summary_string(
        self,
        columns: Sequence[str] = ("name", "output_shape", "params", "connections", "neurons", "energy cpu"),
        timesteps_per_inference: int = 1,
        dt: float | None = None,
        line_length: int = 98,
        print_warnings: bool = True,
    ) -> str:
        """The table that `summary` prints.

        Args:
            columns: what to show: "name", "output_shape", "params", "connections", "neurons", "rate" (Hz), and for a
                device "synop_energy <device>", "neuron_energy <device>" and their sum "energy <device>" (J).
            timesteps_per_inference, dt: as in `layer_energy`.
            line_length: longest line, in characters; columns that do not fit are cut off.
            print_warnings: whether to add notes on what the numbers assume.

        Returns:
            The table as text, with the notes below it.

        Raises:
            InputError: an unknown column or device.
        """
        return summary_string(self, columns, timesteps_per_inference, dt, line_length, print_warnings)

    def _compute_model_stats(self) -> None:
        """Fill `node_stats` and `layer_stats`."""
        if self.activity is None:
            ours = any(node.cell is not None or node.hidden_cells for node in self.graph.nodes)
            self.activity = "events" if ours else "hertz"
        calls = calls_of(self.graph, self.layer_stats_computers)
        self.node_stats = {call: self.compute_layer_stats(call.layer, call) for call in calls}
        self.layer_stats = {
            layer: added(statistics for call, statistics in self.node_stats.items() if call.member is layer)
            for layer in self.graph.layers
        }

    def _compute_model_rates(self) -> None:
        """Fill `layer_rates` from the example data."""
        calls, registry = list(self.node_stats), self.layer_stats_computers
        self._layer_activity = layer_activities(self.graph, calls, registry, self.example_data, self.activity)
        self.layer_rates = {layer: self.rate(layer) for layer in self.graph.layers}

    def _constants_of(self, device: str) -> dict[str, Any]:
        name = str(device).lower()
        if name not in self.devices:
            raise InputError(
                f"ModelEnergy: unknown device {device!r}; choose one of {', '.join(self.devices)}, or add it with "
                "ModelEnergy.register_device"
            )
        return self.devices[name]

    def _step(self, dt: float | None) -> float:
        dt = config.default.dt if dt is None else dt
        if 0 < dt < math.inf:
            return dt
        raise InputError(f"ModelEnergy: expected the time step dt in seconds, > 0, received {dt!r}")


def _refuse_keras_2(thing: Any) -> None:
    """Refuse models and layers of tf-keras, which share their names with those of Keras 3."""
    if any(kind.__module__.partition(".")[0] == "tf_keras" for kind in type(thing).__mro__):
        raise InputError(
            f"ModelEnergy: {getattr(thing, 'name', thing)!r} is of Keras 2; build it with Keras 3, or count it by "
            "keras_spiking.ModelEnergy"
        )
