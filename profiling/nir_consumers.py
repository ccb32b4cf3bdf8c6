"""Whether other readers of our NIR files give the same spikes as Keras, for each neuron and step.

    python profiling/nir_consumers.py

needs the extras nir and bench, prints tables and writes profiling/results/nir_consumers.json. The networks are the
trained LIF and RLIF networks on the test sets of their tasks, with their own reset and with a reset to zero.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"  # hides the start-up messages of TensorFlow

import contextlib
import io
import json
import logging
import platform
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from nir_readers import READERS, nirtorch_by_definition
from numpy.typing import NDArray

import kspike_reg
from kspike_reg import datasets
from kspike_reg.bridges import write_nir
from kspike_reg.bridges.nir.parameters import STEP
from kspike_reg.evaluation import records
from kspike_reg.network.graph import graph_of

RESULTS = Path(__file__).parent / "results" / "nir_consumers.json"
NETWORKS = {"lif-elasticity": "elasticity", "rlif-ramberg-osgood": "ramberg-osgood"}
PATHS = 1024
SEED = 0
PACKAGES = ("kspike_reg", "keras", "nir", "nirtorch", "snntorch", "norse", "torch")
# Readers and forms tried on whole networks, including the readout.
WHOLE = (("snnTorch", "trained"), ("snnTorch", "unit_threshold"), ("Norse", "unit_resistance"), ("NIRTorch", "exact"))


def spiking_part(model: keras.Model, reset: str) -> keras.Model:
    """A copy of a network up to its last spiking layer, which emits spikes, with another reset."""
    graph = graph_of(model, "spiking_part")
    x = start = keras.Input(graph.inputs[0].shape[1:], name="paths")
    for node in graph.nodes[: 1 + graph.nodes.index(graph.spiking_nodes[-1])]:
        changes = {"reset": reset, "output": "spikes"} if node in graph.spiking_nodes else {}
        copy = type(node.layer).from_config(node.layer.get_config() | changes)
        x = copy(x)
        copy.set_weights(node.layer.get_weights())
    return keras.Model(start, x)


def read_and_run(
    reader: Callable[[str], torch.nn.Module], file: Path, inputs: NDArray[np.float32], names: Sequence[str]
) -> tuple[dict[str, NDArray], NDArray]:
    """Read a file and run the network in another tool.

    Args:
        reader: one of the functions of `nir_readers`.
        file: the NIR file.
        inputs: shape (paths, steps, features).
        names: modules to record.

    Returns:
        Outputs of these modules by name, and of the network, each (paths, steps, width).
    """
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


def compare(
    model: keras.Model, inputs: NDArray[np.float32], reader: Callable, form: str, folder: Path, inside: str = ""
) -> tuple[dict[str, dict[str, Any]], NDArray]:
    """Write a network, run it in another tool, and compare its spikes with ours.

    Args:
        model: the network.
        inputs: shape (paths, steps, features).
        reader: see `read_and_run`.
        form: form of the file.
        folder: folder for the file.
        inside: what the tool appends to the name of a layer to name the module that emits its spikes.

    Returns:
        Shares of equal neuron-steps and spike rates by layer, and the tool's outputs.
    """
    write_nir(model, folder / "network.nir", form=form)
    ours = records(model, inputs).spikes
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


def outcome_of(model: keras.Model, inputs: NDArray[np.float32], reader: Callable, form: str, folder: Path) -> str:
    """Whether a reader can run a whole network, including the readout: "read and run", or its error in one line."""
    write_nir(model, folder / "network.nir", form=form)
    logging.disable(logging.WARNING)
    try:
        read_and_run(reader, folder / "network.nir", inputs[:1], [])
    except Exception as error:  # any error of the reader is a result
        first, *_ = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {first[:160]}".strip()
    finally:
        logging.disable(logging.NOTSET)
    return "read and run"


def parts_compared(
    name: str, model: keras.Model, inputs: NDArray[np.float32], folder: Path
) -> Iterator[dict[str, Any]]:
    """Compare the spiking part of a network in all readers, with both resets."""
    for reset in ("subtract", "zero"):
        part = spiking_part(model, reset)
        for title, (reader, form) in READERS.items():
            # Both would repeat others: snnTorch resets to zero anyway, and the exact form of a zero reset is nir.LIF.
            if (reset, title) in (("zero", "snnTorch, set to our reset"), ("zero", "NIRTorch")):
                continue
            layers, _ = compare(part, inputs, reader, form, folder)
            yield {"network": name, "reset": reset, "reader": title, "form": form, "layers": layers}


def whole_compared(name: str, model: keras.Model, paths: datasets.Paths, folder: Path) -> dict[str, Any]:
    """Compare a whole network, including the readout, in NIRTorch."""
    inputs = paths.inputs.astype("float32")
    layers, outputs = compare(model, inputs, nirtorch_by_definition, "exact", folder, inside=".spikes")
    expected = model.predict(inputs, verbose=0, outside="ignore")
    return {
        "network": name,
        "reset": "subtract",
        "reader": "NIRTorch, whole network",
        "form": "exact",
        "layers": layers,
        "largest_output_difference": float(np.max(np.abs(outputs - expected)) / np.std(paths.targets)),
    }


def main() -> None:
    """Measure, print and write."""
    results, whole = [], []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, task in NETWORKS.items():
            model = kspike_reg.load(name)
            paths = datasets.generate(task, (1, 1, PATHS), seed=SEED)[2]
            inputs = paths.inputs.astype("float32")
            for result in parts_compared(name, model, inputs, folder):
                results.append(result)
                show(result)
            results.append(whole_compared(name, model, paths, folder))
            show(results[-1])
            for title, form in WHOLE:
                outcome = outcome_of(model, inputs, READERS[title][0], form, folder)
                whole.append({"network": name, "reader": title, "form": form, "outcome": outcome})
                print(f"{name:20} {title:27} {form:16} {outcome}")
    report = {
        "unit": "share of neuron-steps in which the spike of the other reader equals ours; largest difference of "
        "outputs in standard deviations of the stress",
        "settings": {"paths": PATHS, "seed": SEED, "data": "test sets of the networks' tasks", "dt": STEP},
        "versions": {"python": platform.python_version()} | {each: version(each) for each in PACKAGES},
        "machine": {"architecture": platform.machine()},
        "results": results,
        "whole_networks": whole,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def show(result: dict[str, Any]) -> None:
    """Print one line: the share of equal neuron-steps of each layer."""
    shares = "  ".join(f"{layer['equal']:.6f}" for layer in result["layers"].values())
    gap = result.get("largest_output_difference")
    print(
        f"{result['network']:20} {result['reset']:9} {result['reader']:27} {shares}"
        + (f"  largest output difference {gap:.1e}" if gap is not None else "")
    )


if __name__ == "__main__":
    main()
