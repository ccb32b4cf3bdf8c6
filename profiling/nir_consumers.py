"""What other readers make of our NIR files: their spikes beside ours, neuron by neuron and step by step.

    python profiling/nir_consumers.py

needs the extras nir and bench; it prints tables and writes profiling/results/nir_consumers.json. The networks are the
trained LIF and RLIF ones on the test sets of their tasks, as they are and with a reset to zero in place of their own.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"  # TensorFlow's start is of no interest here

import contextlib
import io
import json
import logging
import platform
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import keras
import nir
import nirtorch
import norse.torch
import numpy as np
import snntorch
import torch
from kspike_reg.bridges.nir.files.parameters import STEP
from snntorch.import_nir import import_from_nir

import kspike_reg
from kspike_reg import datasets
from kspike_reg.bridges.nir.files import write_nir
from kspike_reg.network import spiking_layers
from kspike_reg.neurons import LeakyIntegrator

RESULTS = Path(__file__).parent / "results" / "nir_consumers.json"
NETWORKS = {"lif-elasticity": "elasticity", "rlif-ramberg-osgood": "ramberg-osgood"}
PATHS = 1024
SEED = 0


class Integrator(torch.nn.Module):
    """`nir.LI` by its equation, one Euler step a step, for NIRTorch, which has none of its own."""

    def __init__(self, node):
        super().__init__()
        self.rate = torch.nn.Buffer(torch.from_numpy(STEP / node.tau))
        self.r, self.v_leak = (torch.nn.Buffer(torch.from_numpy(each)) for each in (node.r, node.v_leak))

    def forward(self, current, state=None):
        """One step: the membrane, as output and as state."""
        v = torch.zeros_like(current) if state is None else state
        v = v + self.rate * (self.v_leak - v + self.r * current)
        return v, v


class Threshold(torch.nn.Module):
    """`nir.Threshold` by its equation."""

    def __init__(self, node):
        super().__init__()
        self.threshold = torch.nn.Buffer(torch.from_numpy(node.threshold))

    def forward(self, v):
        """Spikes where v > threshold."""
        return (v > self.threshold).to(v.dtype)


def affine(node):
    """`nir.Affine` with its bias, which NIRTorch's own map leaves at random."""
    module = torch.nn.Linear(*node.weight.shape[::-1])
    module.weight.data, module.bias.data = torch.from_numpy(node.weight), torch.from_numpy(node.bias)
    return module


def snntorch_as_imported(file):
    """snnTorch's own import: a reset to zero at once."""
    return import_from_nir(nir.read(file))


def snntorch_as_trained(file):
    """The same, then set to what our files say in words: subtract, one step later."""
    net = import_from_nir(nir.read(file))
    for module in net.modules():
        if isinstance(module, snntorch.Leaky):
            module.reset_mechanism, module.reset_delay, module.state_function = "subtract", True, module._base_sub
    return net


def norse_as_imported(file):
    """Norse's own import: a reset to zero at once."""
    return norse.torch.from_nir(nir.read(file), ignore_warnings=True, dt=STEP)


def nirtorch_by_definition(file):
    """NIRTorch's interpreter over the primitives by NIR's definitions."""
    return nirtorch.nir_to_torch(
        nir.read(file), {nir.LI: Integrator, nir.Threshold: Threshold, nir.Affine: affine}, dtype=torch.float32
    )


# Reader, how it reads, and the form that it is written for.
READERS = {
    "snnTorch": (snntorch_as_imported, "unit_threshold"),
    "snnTorch, set to our reset": (snntorch_as_trained, "unit_threshold"),
    "Norse": (norse_as_imported, "unit_resistance"),
    "Norse, resistances not one": (norse_as_imported, "trained"),
    "NIRTorch": (nirtorch_by_definition, "exact"),
}
# What is tried on whole networks, readout and all.
WHOLE = (("snnTorch", "trained"), ("snnTorch", "unit_threshold"), ("Norse", "unit_resistance"), ("NIRTorch", "exact"))


def spiking_part(model, reset):
    """The network up to its last spiking layer, which hands on spikes, with another reset."""
    first, *layers = model.layers
    x = start = keras.Input(first.batch_shape[1:], name="paths")
    for layer in layers:
        if isinstance(layer, LeakyIntegrator):
            break
        fires = layer in spiking_layers(model)
        copy = type(layer).from_config(layer.get_config() | ({"reset": reset, "output": "spikes"} if fires else {}))
        x = copy(x)
        copy.set_weights(layer.get_weights())
    return keras.Model(start, x)


def spikes_of(model, inputs):
    """Our spikes, by layer."""
    layers = spiking_layers(model)
    outputs = keras.Model(model.inputs, [layer.output for layer in layers]).predict(inputs, verbose=0)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return {
        layer.name: keras.ops.convert_to_numpy(layer.cell.spikes_of(output))
        for layer, output in zip(layers, outputs, strict=True)
    }


def read_and_run(reader, file, inputs, names):
    """Another tool's outputs of the modules `names`, and of all, each (paths, steps, width)."""
    trace = {name: [] for name in names}
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        net, state, outputs = reader(str(file)), None, []
        for name in names:
            net.get_submodule(name).register_forward_hook(
                lambda _module, _arguments, output, name=name: trace[name].append(
                    (output[0] if isinstance(output, tuple) else output).numpy().copy()
                )
            )
        for step in range(inputs.shape[1]):
            output, state = net(torch.from_numpy(inputs[:, step]), state)
            outputs.append(output.numpy())
    return {name: np.stack(values, axis=1) for name, values in trace.items()}, np.stack(outputs, axis=1)


def compare(model, inputs, reader, form, folder, inside=""):
    """Shares of equal neuron-steps by layer, spikes of theirs and ours, and the outputs."""
    write_nir(model, folder / "network.nir", form=form)
    ours = spikes_of(model, inputs)
    theirs, outputs = read_and_run(reader, folder / "network.nir", inputs, [name + inside for name in ours])
    layers = {
        name: {
            "equal": float(np.mean(theirs[name + inside] == spikes)),
            "unequal_neuron_steps": int(np.sum(theirs[name + inside] != spikes)),
            "neuron_steps": spikes.size,
            "spikes_ours": float(spikes.mean()),
            "spikes_theirs": float(theirs[name + inside].mean()),
        }
        for name, spikes in ours.items()
    }
    return layers, outputs


def whole_file(model, inputs, reader, form, folder):
    """What a reader says to the whole network, readout and all: its error in one line, or nothing."""
    write_nir(model, folder / "network.nir", form=form)
    logging.disable(logging.WARNING)
    try:
        read_and_run(reader, folder / "network.nir", inputs[:1], [])
    except Exception as error:  # whatever the reader stumbles over is the result
        return (
            f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160] if str(error).strip() else ''}".strip()
        )
    finally:
        logging.disable(logging.NOTSET)
    return "read and run"


def main():
    """Measure, print, write."""
    results, whole = [], []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, task in NETWORKS.items():
            model = kspike_reg.load(name)
            paths = datasets.generate(task, (1, 1, PATHS), seed=SEED)[2]
            inputs = paths.inputs.astype("float32")
            for reset in ("subtract", "zero"):
                part = spiking_part(model, reset)
                for title, (reader, form) in READERS.items():
                    if (reset, title) == ("zero", "snnTorch, set to our reset"):
                        continue
                    if (reset, title) == ("zero", "NIRTorch"):  # the exact form of a zero reset is nir.LIF
                        continue
                    layers, _ = compare(part, inputs, reader, form, folder)
                    results.append({"network": name, "reset": reset, "reader": title, "form": form, "layers": layers})
                    show(results[-1])
            layers, outputs = compare(model, inputs, nirtorch_by_definition, "exact", folder, inside=".spikes")
            expected = model.predict(inputs, verbose=0, outside="ignore")
            gap = float(np.max(np.abs(outputs - expected)) / np.std(paths.targets))
            results.append(
                {
                    "network": name,
                    "reset": "subtract",
                    "reader": "NIRTorch, whole network",
                    "form": "exact",
                    "layers": layers,
                    "largest_output_difference": gap,
                }
            )
            show(results[-1])
            for title, form in WHOLE:
                outcome = whole_file(model, inputs, READERS[title][0], form, folder)
                whole.append({"network": name, "reader": title, "form": form, "outcome": outcome})
                print(f"{name:20} {title:27} {form:16} {outcome}")
    report = {
        "unit": "share of neuron-steps in which the other reader's spike is ours; largest difference of outputs in "
        "standard deviations of the stress",
        "settings": {"paths": PATHS, "seed": SEED, "data": "test sets of the networks' tasks", "dt": STEP},
        "versions": {
            "python": platform.python_version(),
            **{
                each: version(each) for each in ("kspike_reg", "keras", "nir", "nirtorch", "snntorch", "norse", "torch")
            },
        },
        "machine": {"architecture": platform.machine()},
        "results": results,
        "whole_networks": whole,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def show(result):
    """Print one line: the shares by layer."""
    shares = "  ".join(f"{layer['equal']:.6f}" for layer in result["layers"].values())
    gap = result.get("largest_output_difference")
    print(
        f"{result['network']:20} {result['reset']:9} {result['reader']:27} {shares}"
        + (f"  largest output difference {gap:.1e}" if gap is not None else "")
    )


if __name__ == "__main__":
    main()
