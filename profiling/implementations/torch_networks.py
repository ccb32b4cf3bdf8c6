"""Implementations in PyTorch: the same network made of the neurons of each installed package."""

import platform
import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec

import torch

from implementations.torch_base import DEVICE

# The class of each package and its module.
CLASSES = {
    "snntorch": ("implementations.torch_snntorch", "SnnTorch"),
    "spikingjelly": ("implementations.torch_spikingjelly", "SpikingJelly"),
    "norse": ("implementations.torch_norse", "Norse"),
}
INSTALLED = [name for name in CLASSES if find_spec(name)]

# SpikingJelly imports TensorBoard, which imports TensorFlow if it is installed; TensorFlow crashes next to Triton.
sys.modules["tensorflow"] = None


def about() -> dict:
    """Versions, device and threads."""
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("torch", *INSTALLED)},
        "device": DEVICE,
        "threads": torch.get_num_threads(),
    }


def class_of(name: str) -> type:
    """The implementation of a package."""
    module, attribute = CLASSES[name]
    return getattr(import_module(module), attribute)


IMPLEMENTATIONS = {name: class_of(name) for name in INSTALLED}
