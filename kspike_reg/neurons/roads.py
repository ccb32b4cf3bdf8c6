"""The roads that a layer may take over whole paths, and which it takes.

    compiled   the path's loop in machine code, with a backward pass written by hand (`neurons.compiled`): TensorFlow
               and PyTorch on a CPU, in single and double precision
    unrolled   the backend's operations, step by step, laid out when the graph is built; automatic differentiation
    loop       the backend's operations in a symbolic loop; automatic differentiation

All give the same results. The road is a matter of the machine, not of the model, and is not saved with it.
"""

import keras

from kspike_reg.errors import InputError

__all__ = ["ROADS", "choose", "road", "set_road"]

ROADS = ("compiled", "unrolled", "loop")

# Up to this many steps the loop is laid out where the number of steps is known: half the time of a symbolic loop, at
# a cost in tracing that grows with the steps.
LONGEST_UNROLLED = 32

_forced = None


def set_road(name):
    """Force one road for all layers from now on.

    Layers whose options a road does not know take the best of the others: "compiled" knows neither masks nor dropout
    of recurrent inputs, "unrolled" needs paths of known length.

    Args:
        name: "compiled", "unrolled" or "loop"; None lets every layer choose, as at the start.

    Raises:
        InputError: an unknown name.

    Example:

    ```python
    kspike_reg.neurons.set_road("loop")  # gradients of gradients, or a graph to export
    ```
    """
    global _forced
    if name is not None and name not in ROADS:
        raise InputError(f"set_road: unknown road {name!r}; choose one of {', '.join(map(repr, ROADS))}, or None")
    _forced = name


def road():
    """The road that is forced, or None where every layer chooses."""
    return _forced


def choose(cell, sequences, mask=None, unroll=None, training=False):
    """The road for one call of a layer.

    Args:
        cell: its cell.
        sequences: the paths, (batch, time, features).
        mask: (batch, time) or None.
        unroll: the layer's own option, which comes before all else; None leaves it open.
        training: whether this is a training step.

    Returns:
        One of ROADS.
    """
    steps = sequences.shape[1]
    # Laid-out loops treat masks differently from backend to backend, so masked paths take the symbolic one.
    may_unroll = mask is None and steps is not None
    if unroll is not None:
        return "unrolled" if unroll else "loop"
    if _forced in (None, "compiled") and mask is None and _compiles(cell, training):
        return "compiled"
    if _forced in ("unrolled", "loop"):
        return "unrolled" if _forced == "unrolled" and may_unroll else "loop"
    return "unrolled" if may_unroll and steps <= LONGEST_UNROLLED else "loop"


def _compiles(cell, training):
    """Whether the compiled road is open to this cell, here and now."""
    return (
        cell.compiled is not None
        and cell.compute_dtype == cell.variable_dtype
        and cell.compute_dtype in ("float32", "float64")
        and not (training and cell.recurrent_dropout > 0)
        and _on_cpu()
        # Whoever predicts may ask for gradients too.
        and cell.compiled_sequence().compiles(cell.compute_dtype)
    )


def _on_cpu():
    """Whether tensors live in the memory of this machine's CPU, in a graph that may call back to Python."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

        return not tf.config.list_physical_devices("GPU") and not GraphOrParentsInXlaContext(
            tf.compat.v1.get_default_graph()
        )
    if backend == "torch":
        import torch

        return torch.get_default_device().type == "cpu" and not torch.cuda.is_available()
    return False
