"""A converted network as a readable Python script and a file of weights: `export_nengo`."""

import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from kspike_reg.bridges.extras import needed
from kspike_reg.bridges.nengo.network import to_nengo
from kspike_reg.errors import InputError
from kspike_reg.files import replacing

__all__ = ["export_nengo"]

HEAD = '''"""The network {label!r} for Nengo, exported by kspike_reg; its weights are in {weights}, in the same folder.

One Nengo time step is one step of the network, whatever dt is. Give the input nodes your data and run it:

    {example}.output = nengo.processes.PresentInput(path, presentation_time=dt)  # path: (steps, features)
    with nengo.Simulator(model, dt=dt) as simulator:
        simulator.run_steps(len(path))
"""

from pathlib import Path

import nengo
import numpy as np

from kspike_reg.bridges.nengo.neurons import {types}

weights = np.load(Path(__file__).with_suffix(".npz"))


def ensemble(label, neuron_type, bias, dimensions=1):
    """Neurons driven by their connections and their bias alone."""
    units = len(bias)
    return nengo.Ensemble(
        units, dimensions, label=label, neuron_type=neuron_type, gain=np.ones(units), bias=bias,
        encoders=np.ones((units, dimensions)), eval_points=np.zeros((1, dimensions)), normalize_encoders=False,
    )


with nengo.Network(label={label!r}) as model:
'''


def export_nengo(model: Any, file: str | os.PathLike) -> tuple[Path, Path]:
    """Write a model as a script that builds its Nengo network, and a file of weights in the same folder.

    The script needs Nengo and the neuron types of this package, but neither the model nor its file. Its network is
    called `model`, as NengoGUI expects.

    Args:
        model: a `keras.Model`, or a network that `to_nengo` made of one.
        file: the script, a name that ends in .py; the weights go to the same name with .npz.

    Returns:
        The two files, a pair of `pathlib.Path`.

    Raises:
        InputError: another suffix, files that cannot be written, or a model that `to_nengo` refuses.
    """
    file = Path(file)
    if file.suffix != ".py":
        raise InputError(f"export_nengo: expected a file that ends in .py, received {str(file)!r}")
    nengo = needed("nengo", "nengo", "export_nengo")
    network = model if isinstance(model, nengo.Network) else to_nengo(model)
    writer = _Writer(nengo)
    for node in network.nodes:
        writer.node(node)
    for ensemble in network.ensembles:
        writer.ensemble(ensemble)
    for connection in network.connections:
        writer.connection(connection)
    for probe in network.probes:
        writer.probe(probe)
    head = HEAD.format(
        label=network.label,
        weights=file.with_suffix(".npz").name,
        example=next((writer.names[node] for node in network.nodes if node.size_in == 0), "node"),
        types=", ".join(sorted(writer.types)),
    )
    with replacing(file.with_suffix(".npz")) as partial:
        np.savez(partial, **writer.weights)
    with replacing(file) as partial:
        partial.write_text(head + "".join(f"    {line}\n" for line in writer.lines), encoding="utf-8")
    return file, file.with_suffix(".npz")


class _Writer:
    """Collects the lines of the script, and the weights by name."""

    def __init__(self, nengo: ModuleType) -> None:
        self.nengo = nengo
        self.lines: list[str] = []
        self.weights: dict[str, np.ndarray] = {}
        self.names: dict[Any, str] = {}
        self.types: set[str] = set()

    def node(self, node: Any) -> None:
        start = f"np.zeros({node.size_out})" if node.size_in == 0 else f"size_in={node.size_in}"
        self.lines.append(f"{self._name(node)} = nengo.Node({start}, label={node.label!r})")

    def ensemble(self, ensemble: Any) -> None:
        kind = ensemble.neuron_type
        self.types.add(type(kind).__name__)
        options = []
        for name, parameter in sorted(kind._paramdict.items()):
            value = getattr(kind, name)
            if isinstance(value, np.ndarray):
                options.append(f"{name}={self._weight(f'{ensemble.label}.{name}', value)}")
            elif value is not None and value != parameter.default:
                options.append(f"{name}={value!r}")
        dimensions = f", dimensions={ensemble.dimensions}" if ensemble.dimensions > 1 else ""
        self.lines += [
            f"{self._name(ensemble)} = ensemble(",
            f"    {ensemble.label!r},",
            f"    {type(kind).__name__}({', '.join(options)}),",
            f"    {self._weight(f'{ensemble.label}.bias', np.asarray(ensemble.bias))}{dimensions},",
            ")",
        ]

    def connection(self, connection: Any) -> None:
        transform = ""
        if not isinstance(connection.transform, self.nengo.transforms.NoTransform):
            value = connection.transform.init
            text = self._weight(connection.label, value) if np.ndim(value) else repr(float(value))
            transform = f", transform={text}"
        ends = f"{self._end(connection.pre)}, {self._end(connection.post)}"
        self.lines.append(f"nengo.Connection({ends}{transform}, synapse=None, label={connection.label!r})")

    def probe(self, probe: Any) -> None:
        attribute = "" if probe.attr == "output" else f", {probe.attr!r}"
        self.lines.append(f"nengo.Probe({self._end(probe.target)}{attribute}, label={probe.label!r})")

    def _end(self, end):
        """The expression of the script for an object, its neurons, or a slice of it."""
        if isinstance(end, self.nengo.base.ObjView):
            return f"{self._end(end.obj)}[{end.slice.start}:{end.slice.stop}]"
        if isinstance(end, self.nengo.ensemble.Neurons):
            return f"{self.names[end.ensemble]}.neurons"
        return self.names[end]

    def _name(self, thing):
        """A unique name for a variable, made from the label."""
        name = unique = re.sub(r"\W", "_", f"_{thing.label}" if thing.label[0].isdigit() else thing.label)
        count = 1
        while unique in (*self.names.values(), "model", "weights", "ensemble", "nengo", "np", "Path", *self.types):
            count += 1
            unique = f"{name}_{count}"
        self.names[thing] = unique
        return unique

    def _weight(self, name, value):
        """The expression of the script for an array, which is stored in single precision if that is exact."""
        single = value.astype("float32")
        count, unique = 1, name
        while unique in self.weights:
            count += 1
            unique = f"{name}:{count}"
        self.weights[unique] = single if np.array_equal(single, value) else value
        return f"weights[{unique!r}]"
