"""A converted network as a readable Python script and a file of weights: `export_nengo`."""

import builtins
import keyword
import math
import os
import re
from collections.abc import Container
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from kspike_reg.bridges.extras import needed
from kspike_reg.bridges.nengo.network import Layout, to_nengo
from kspike_reg.errors import InputError
from kspike_reg.files import replacing

__all__ = ["export_nengo"]

# Constant but for the names of classes and of an input, which `_identifier` makes.
HEAD = '''"""A network for Nengo, exported by kspike_reg; its weights are in the .npz file of the same name and folder.

One Nengo time step is one step of the network, whatever dt is. Give the input nodes your data and run it:

    {example}.output = nengo.processes.PresentInput(path, presentation_time=dt)  # path: (steps, features)
    with nengo.Simulator(model, dt=dt) as simulator:
        simulator.run_steps(len(path))
"""

from pathlib import Path

import nengo
import numpy as np

from kspike_reg.bridges.nengo.neurons import {types}

with np.load(Path(__file__).with_suffix(".npz")) as arrays:
    weights = dict(arrays)


def ensemble(label, neuron_type, bias, dimensions=1):
    """Neurons driven by their connections and their bias alone."""
    units = len(bias)
    return nengo.Ensemble(
        units, dimensions, label=label, neuron_type=neuron_type, gain=np.ones(units), bias=bias,
        encoders=np.ones((units, dimensions)), eval_points=np.zeros((1, dimensions)), normalize_encoders=False,
    )


'''

# Names that the script and Python use themselves; the neuron types join them.
RESERVED = {
    *("model", "arrays", "weights", "ensemble", "nengo", "np", "Path"),
    *keyword.kwlist,
    *keyword.softkwlist,
    *dir(builtins),
}

# Longest identifier before its number, in characters: names of layers have any length, those in archives do not.
LONGEST = 100


def export_nengo(model: Any, file: str | os.PathLike) -> tuple[Path, Path]:
    """Write a model as a script that builds its Nengo network, and a file of weights in the same folder.

    The script needs Nengo and the neuron types of this package, but neither the model nor its file. Its network is
    called `model`, as NengoGUI expects. Names of the model appear in it as labels, in string literals that they cannot
    leave; the variables are made from their ASCII letters and digits.

    Args:
        model: a `keras.Model`, or a network that `to_nengo` made of one.
        file: the script, a name that ends in .py; the weights go to the same name with .npz.

    Returns:
        The two files, a pair of `pathlib.Path`.

    Raises:
        InputError: another suffix, files that cannot be written, a model that `to_nengo` refuses, or another network.
    """
    file = Path(file)
    if file.suffix != ".py":
        raise InputError(f"export_nengo: expected a file that ends in .py, received {str(file)!r}")
    nengo = needed("nengo", "nengo", "export_nengo")
    network = model if isinstance(model, nengo.Network) else to_nengo(model)
    if not isinstance(getattr(network, "layout", None), Layout):
        raise InputError(
            "export_nengo: expected a keras.Model, or a network that kspike_reg.bridges.to_nengo made of one, received "
            f"{network!r}"
        )
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
        example=next((writer.names[node] for node in network.nodes if node.size_in == 0), "node"),
        types=", ".join(sorted(writer.types)),
    )
    lines = [
        f"with nengo.Network(label={_literal(network.label)}) as model:",
        *(f"    {line}" for line in writer.lines),
    ]
    with replacing(file.with_suffix(".npz")) as partial:
        np.savez(partial, **writer.weights)
    with replacing(file) as partial:
        partial.write_text(head + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file, file.with_suffix(".npz")


def _literal(value: str | float | None) -> str:
    """The source of a constant, which no character of a text can leave.

    Python's repr escapes quotes, line ends and all characters that are not printable, lone surrogates and those that
    change the direction of writing included.

    Raises:
        InputError: a number that has no literal.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"export_nengo: expected finite numbers in the network, received {value}")
    return repr(value)


def _identifier(label: str | None, taken: Container[str]) -> str:
    """A name for a variable that is not taken, made from the ASCII letters and digits of a label."""
    name = re.sub(r"[^0-9A-Za-z_]", "_", label or "").strip("_")[:LONGEST]
    name = unique = name if name[:1].isalpha() else f"layer_{name}"
    count = 1
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    return unique


class _Writer:
    """Collects the lines of the script, and the weights by name."""

    def __init__(self, nengo: ModuleType) -> None:
        from kspike_reg.bridges.nengo import neurons  # which imports Nengo

        self.nengo = nengo
        self.lines: list[str] = []
        self.weights: dict[str, np.ndarray] = {}
        self.names: dict[Any, str] = {}
        self.taken: set[str] = {*RESERVED, *neurons.__all__}
        self.types: set[str] = set()

    def node(self, node: Any) -> None:
        start = f"np.zeros({node.size_out})" if node.size_in == 0 else f"size_in={node.size_in}"
        self.lines.append(f"{self._name(node)} = nengo.Node({start}, label={_literal(node.label)})")

    def ensemble(self, ensemble: Any) -> None:
        kind, variable = ensemble.neuron_type, self._name(ensemble)
        self.types.add(type(kind).__name__)
        options = []
        for name, parameter in sorted(kind._paramdict.items()):
            value = getattr(kind, name)
            if isinstance(value, np.ndarray):
                options.append(f"{name}={self._weight(f'{variable}.{name}', value)}")
            elif value is not None and value != parameter.default:
                options.append(f"{name}={_literal(value)}")
        dimensions = f", dimensions={ensemble.dimensions}" if ensemble.dimensions > 1 else ""
        self.lines += [
            f"{variable} = ensemble(",
            f"    {_literal(ensemble.label)},",
            f"    {type(kind).__name__}({', '.join(options)}),",
            f"    {self._weight(f'{variable}.bias', np.asarray(ensemble.bias))}{dimensions},",
            ")",
        ]

    def connection(self, connection: Any) -> None:
        transform = ""
        if not isinstance(connection.transform, self.nengo.transforms.NoTransform):
            value = connection.transform.init
            name = f"{self._variable(connection.post)}.kernel"
            transform = f", transform={self._weight(name, value) if np.ndim(value) else _literal(float(value))}"
        ends = f"{self._end(connection.pre)}, {self._end(connection.post)}"
        self.lines.append(f"nengo.Connection({ends}{transform}, synapse=None, label={_literal(connection.label)})")

    def probe(self, probe: Any) -> None:
        attribute = "" if probe.attr == "output" else f", {_literal(probe.attr)}"
        self.lines.append(f"nengo.Probe({self._end(probe.target)}{attribute}, label={_literal(probe.label)})")

    def _end(self, end):
        """The expression of the script for an object, its neurons, or a slice of it."""
        if isinstance(end, self.nengo.base.ObjView):
            return f"{self._end(end.obj)}[{end.slice.start}:{end.slice.stop}]"
        if isinstance(end, self.nengo.ensemble.Neurons):
            return f"{self.names[end.ensemble]}.neurons"
        return self.names[end]

    def _variable(self, end):
        """The variable of an object, also of its neurons or of a slice of it."""
        return self._end(end).removesuffix(".neurons").partition("[")[0]

    def _name(self, thing):
        """A new variable for an object."""
        self.names[thing] = variable = _identifier(thing.label, self.taken)
        self.taken.add(variable)
        return variable

    def _weight(self, name, value):
        """The expression of the script for an array, which is stored in single precision if that is exact."""
        single = value.astype("float32")
        count, unique = 1, name
        while unique in self.weights:
            count += 1
            unique = f"{name}:{count}"
        self.weights[unique] = single if np.array_equal(single, value) else value
        return f"weights[{_literal(unique)}]"
