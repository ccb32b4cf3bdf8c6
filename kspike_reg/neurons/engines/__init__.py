"""Engines run a layer over whole paths; the first one that supports a call runs it.

    compiled   loops in machine code with a hand-written backward pass (`engines.cpu`): TensorFlow and PyTorch on a
               CPU, in single and double precision; other derivatives by the backend's operations
    unrolled   the backend's operations, laid out step by step when the graph is built; automatic differentiation
    loop       the backend's operations in a symbolic loop; automatic differentiation; supports every call

All give the same results. The engine depends on the machine, not on the model, and is not saved with it.
"""

from typing import TYPE_CHECKING

from kspike_reg.errors import InputError
from kspike_reg.neurons.engines.backend import LoopEngine, UnrolledEngine
from kspike_reg.neurons.engines.base import Call, Engine, Result
from kspike_reg.neurons.engines.cpu import CompiledEngine

if TYPE_CHECKING:
    from kspike_reg.neurons.layer import NeuronLayer

__all__ = ["ENGINES", "Call", "Engine", "Result", "choose", "engine", "road", "set_engine", "set_road"]

# In the order in which they are asked.
ENGINES: dict[str, Engine] = {engine.name: engine for engine in (CompiledEngine(), UnrolledEngine(), LoopEngine())}

_forced: str | None = None


def set_engine(name: str | None) -> None:
    """Force one engine for all layers from now on.

    A call that this engine does not support is run by the first one after it that does: "compiled" supports neither
    masks nor dropout of recurrent inputs, "unrolled" needs paths of known length.

    Args:
        name: "compiled", "unrolled" or "loop"; None lets every layer choose, as at the start.

    Raises:
        InputError: an unknown name.

    Example:

    ```python
    kspike_reg.neurons.set_engine("loop")  # until set_engine(None)
    ```
    """
    global _forced
    if name is not None and name not in ENGINES:
        raise InputError(f"set_engine: unknown engine {name!r}; choose one of {', '.join(map(repr, ENGINES))}, or None")
    _forced = name


def engine() -> str | None:
    """The name of the engine that is forced; None where every layer chooses."""
    return _forced


# The first names of these functions.
set_road, road = set_engine, engine


def choose(layer: "NeuronLayer", call: Call) -> Engine:
    """The engine for one call of a layer.

    A layer's own option `unroll` comes first, then the engine that is forced, then the order of `ENGINES`.
    """
    if layer.unroll is not None:
        return ENGINES["unrolled" if layer.unroll else "loop"]
    names = list(ENGINES)
    for name in names[names.index(_forced) if _forced else 0 :]:
        candidate = ENGINES[name]
        if candidate.supports(layer, call) and (name == _forced or candidate.pays(call)):
            return candidate
    return ENGINES["loop"]
