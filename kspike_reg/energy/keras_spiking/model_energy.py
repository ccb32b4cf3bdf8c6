"""KerasSpiking's `ModelEnergy` for Keras 3 and for the neurons of this package."""

import math

import keras_spiking
from keras_spiking import config

from kspike_reg.energy.keras_spiking.layer_activity import ACTIVITIES, measure, projections_of
from kspike_reg.energy.keras_spiking.layer_calls import LayerCall, call_of, calls_of, parts_of
from kspike_reg.energy.keras_spiking.layer_statistics import STATISTICS
from kspike_reg.energy.keras_spiking.summary import summary_string
from kspike_reg.errors import InputError
from kspike_reg.neurons.cell import NeuronCell

__all__ = ["ModelEnergy"]

STATISTIC_NAMES = ("connections", "neurons", "spiking")


class ModelEnergy(keras_spiking.ModelEnergy):
    """Estimate what a model costs on a device, from connections, neurons and mean activity.

        synaptic energy = energy per synaptic operation * connections * rate * dt * time steps
        neuron energy   = energy per neuron update * neurons * time steps

    As in KerasSpiking, a device that is not spiking computes every connection once, for one time step, whatever
    `timesteps_per_inference` says: a network that maps T steps to T steps costs T times as much. `profile` counts
    operations instead of multiplying means, tells accumulates from multiply-accumulates and leaves padding out.

    **What counts** is one time step of one sample. Axis 1 of a tensor of three axes and more is time, whether its
    length is known or not, so a `Dense` layer on (batch, 20, 3) counts its kernel once and not 20 times; further axes
    count. Gated layers count every gate: `4 n (n_in + n)` for LSTM and SLSTM, `3 n (n_in + n)` for GRU. A recurrent
    layer updates `n` neurons; `Dense` and activations update one for each output unless they are linear. Layers
    that only move, scale, add or average values count nothing. A layer that is used twice counts twice, a nested
    model as the sum of its layers.

    **The rate unit.** KerasSpiking takes the mean size of a layer's input for a rate in Hz, since its spikes have
    height 1 / dt. The spikes of this package have height one, and its networks hand on real values too. Therefore
    `activity` names the convention:

    - "events": an element that is not zero is one event in its step, a rate of 1 / dt. A spike is one synaptic
      operation for each connection, a real value (the first layer's input, a membrane) is one at every step. The
      recurrent connections of RLIF go by its own spikes, those of SLSTM, SimpleRNN, GRU and LSTM, which carry real
      values, count at every step. One step of the network is one step of the device, so energies do not depend on dt.
    - "hertz": KerasSpiking's, for all connections of a layer its input's mean size in Hz; the paper's Table I is made
      this way. For spikes of height one it is 1 / dt too small, 1000 times at 1 ms.
    - None chooses "events" for models with neurons of this package and "hertz" for others.

    Args:
        model: a functional or built Sequential `keras.Model`.
        example_data: whatever `model.predict` takes; it is needed for spiking devices. All of what the layers hand
            on is held in memory, and padding counts as steps. Recurrent layers start from rest.
        activity: "events", "hertz" or None.

    Attributes:
        node_stats: statistics by application of a layer (`LayerCall`).
        layer_stats: connections, neurons and spiking by layer of the model.
        layer_rates: mean rate over the connections of each layer in Hz, at KerasSpiking's default dt, 1 ms.
        devices: constants by name, in joules; those of KerasSpiking, and `v100_paper` with the 2.4 pJ per connection
            (300 W / 125 TFLOP/s) of the paper's Table I, for its reproduction only.

    Raises:
        InputError: a model, a layer or data that cannot be counted.
    """

    devices = {  # noqa: RUF012 - a class attribute in the parent too; here a copy of its own
        **{name: dict(constants) for name, constants in keras_spiking.ModelEnergy.devices.items()},
        "v100_paper": {"spiking": False, "energy_per_synop": 300 / 125e12, "energy_per_neuron": 0.0},
    }
    layer_stats_computers = dict(STATISTICS)  # noqa: RUF012

    def __init__(self, model, example_data=None, activity=None):
        if activity is not None and activity not in ACTIVITIES:
            raise InputError(
                f"ModelEnergy: unknown activity {activity!r}; choose one of {', '.join(map(repr, ACTIVITIES))} or None"
            )
        self.activity = activity
        super().__init__(model, example_data)

    @classmethod
    def is_registered(cls, layer):
        """Whether a function is registered for the layer's class or a parent of it."""
        return cls._function_of(layer) is not None

    @classmethod
    def compute_layer_stats(cls, layer, node=None):
        """The statistics of one application of a layer, by default of its first.

        Args:
            layer: a layer that has been applied to symbolic tensors.
            node: its application, a node of Keras or a `LayerCall`.

        Returns:
            A dictionary of "connections", "neurons" and "spiking", or some of them.

        Raises:
            InputError: the layer has not been applied, or nobody registered it, or statistics of another name.
        """
        if node is None:
            if not layer._inbound_nodes:
                raise InputError(
                    f"ModelEnergy: the layer {layer.name!r} has not been applied; call it on a keras.Input"
                )
            node = layer._inbound_nodes[0]
        call = node if isinstance(node, LayerCall) else call_of(node)
        function = cls._function_of(layer)
        if function is not None:
            statistics = function(call)
            for name in statistics:
                if name not in STATISTIC_NAMES:
                    raise InputError(
                        f"ModelEnergy: the function registered for {type(layer).__name__} returned the unknown "
                        f"statistic {name!r}; return some of {', '.join(map(repr, STATISTIC_NAMES))}"
                    )
            return statistics
        parts = parts_of(call)
        if parts is None:
            kind = type(layer).__name__
            raise InputError(
                f"ModelEnergy: nobody registered the layer {layer.name!r} of type {kind}, so its cost is unknown; "
                f"decorate a function with @ModelEnergy.register_layer({kind}) that takes one application of it and "
                "returns {'connections': ..., 'neurons': ..., 'spiking': ...} per time step"
            )
        return _sum([cls.compute_layer_stats(part.layer, part) for part in parts])

    @classmethod
    def register_layer(cls, layer_class):
        """Decorator that registers the function which counts a class of layers, or cells; its subclasses inherit it.

        Args:
            layer_class: the class.

        The function takes one application of the layer, with the attributes `layer`, `input_shapes`, `output_shapes`
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
    def register_device(cls, device_name, energy_per_synop, energy_per_neuron, spiking):
        """Register a device, or replace one with a warning.

        Args:
            device_name: its name; upper and lower case are the same.
            energy_per_synop, energy_per_neuron: joules for a synaptic operation and a neuron update, >= 0.
            spiking: whether it computes only for inputs that are events.

        Raises:
            InputError: constants that are no energies.
        """
        for name, joules in {"energy_per_synop": energy_per_synop, "energy_per_neuron": energy_per_neuron}.items():
            if not 0 <= joules < math.inf:
                raise InputError(
                    f"ModelEnergy: expected {name} of the device {device_name!r} in joules, 0 or more, "
                    f"received {joules!r}"
                )
        super().register_device(str(device_name).lower(), energy_per_synop, energy_per_neuron, spiking)

    def layer_energy(self, layer, device, timesteps_per_inference=1, dt=None):
        """Energy of one layer per inference, over all its applications in the model.

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
            raise InputError(
                f"ModelEnergy: {layer!r} is no layer of the model {self.model.name!r}; take one of its layers"
            )
        constants, statistics = self._constants_of(device), self.layer_stats[layer]
        if not constants["spiking"]:
            events = steps = 1
        else:
            if self.example_data is None:
                raise InputError(
                    f"ModelEnergy: the energy on the spiking device {device!r} depends on activity; give example_data"
                )
            steps = timesteps_per_inference
            events = self.rate(layer, dt) * self._step(dt)
        return (
            constants["energy_per_synop"] * statistics["connections"] * events * steps,
            constants["energy_per_neuron"] * statistics["neurons"] * steps,
        )

    def rate(self, layer, dt=None):
        """Mean rate over a layer's connections on the example data, in Hz; NaN without data.

        Args:
            layer: a layer of the model.
            dt: as in `layer_energy`; events come per step, so that their rate needs its length.

        Returns:
            The rate in Hz, a float.
        """
        if self.example_data is None:
            return math.nan
        activity = self._layer_activity[layer]
        return activity / self._step(dt) if self.activity == "events" else activity

    def summary_string(
        self,
        columns=("name", "output_shape", "params", "connections", "neurons", "energy cpu"),
        timesteps_per_inference=1,
        dt=None,
        line_length=98,
        print_warnings=True,
    ):
        """The table that `summary` prints.

        Args:
            columns: what to show: "name", "output_shape", "params", "connections", "neurons", "rate" (Hz), and for a
                device "synop_energy <device>", "neuron_energy <device>" and their sum "energy <device>" (J).
            timesteps_per_inference, dt: as in `layer_energy`.
            line_length: longest line, in characters; columns that do not fit are cut off.
            print_warnings: whether to add the notes on what the numbers assume.

        Returns:
            The table as text, with the notes below it.

        Raises:
            InputError: an unknown column or device.
        """
        return summary_string(self, columns, timesteps_per_inference, dt, line_length, print_warnings)

    def _compute_model_stats(self):
        """Fill `node_stats` and `layer_stats`."""
        calls = [call for call in calls_of(self.model) if call.layer in self.model.layers]
        if self.activity is None:
            self.activity = "events" if any(map(_has_our_neurons, calls)) else "hertz"
        self.node_stats = {call: self.compute_layer_stats(call.layer, call) for call in calls}
        self.layer_stats = {
            layer: _sum([statistics for call, statistics in self.node_stats.items() if call.layer is layer])
            for layer in self.model.layers
        }

    def _compute_model_rates(self):
        """Fill `layer_rates` from the example data."""
        projections = [
            (call.layer, projection)
            for call in self.node_stats
            for projection in projections_of(call, type(self), per_projection=self.activity == "events")
        ]
        found = measure(self.model, [projection for _, projection in projections], self.example_data, self.activity)
        self._layer_activity = {}
        for layer in self.model.layers:
            own = [
                (projection.connections, activity)
                for (owner, projection), activity in zip(projections, found, strict=True)
                if owner is layer
            ]
            connections = sum(count for count, _ in own)
            # Layers without connections show the plain mean; it costs nothing.
            weights = [count / connections if connections else 1 / len(own) for count, _ in own]
            self._layer_activity[layer] = float(sum(w * part for w, (_, part) in zip(weights, own, strict=True)))
        self.layer_rates = {layer: self.rate(layer, None) for layer in self.model.layers}

    @classmethod
    def _function_of(cls, layer):
        owners = (owner for owner in type(layer).__mro__ if owner in cls.layer_stats_computers)
        return cls.layer_stats_computers.get(next(owners, None))

    def _constants_of(self, device):
        name = str(device).lower()
        if name not in self.devices:
            raise InputError(
                f"ModelEnergy: unknown device {device!r}; choose one of {', '.join(self.devices)}, or add it with "
                "ModelEnergy.register_device"
            )
        return self.devices[name]

    def _step(self, dt):
        dt = config.default.dt if dt is None else dt
        if not 0 < dt < math.inf:
            raise InputError(f"ModelEnergy: expected the time step dt in seconds, > 0, received {dt!r}")
        return dt


def _sum(statistics):
    return {
        "connections": sum(each.get("connections", 0) for each in statistics),
        "neurons": sum(each.get("neurons", 0) for each in statistics),
        "spiking": all(each.get("spiking", True) for each in statistics),
    }


def _has_our_neurons(call):
    return isinstance(call.layer, NeuronCell) or any(map(_has_our_neurons, parts_of(call) or []))
