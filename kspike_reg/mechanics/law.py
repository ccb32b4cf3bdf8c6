"""The contract of a material law, and the driver that takes any law along strain paths.

A law advances by one step: from the strain at the end of the step and the state at its start to the stress and the
state at its end. That is the strain-driven form in which solvers ask for a material (Simo and Hughes, Computational
Inelasticity (1998), section 1.4). `drive` is the one loop over time for every law.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kspike_reg.errors import InputError
from kspike_reg.mechanics.arguments import require_finite
from kspike_reg.typing import FloatArray

__all__ = ["Law", "NoState", "Response", "State", "Step", "drive"]

# The memory of a law: a NamedTuple of arrays, each (paths, ...).
State = tuple[FloatArray, ...]


class NoState(NamedTuple):
    """The state of a law without memory: the stress in MPa depends on the present strain alone. It holds no arrays."""


class Step(NamedTuple):
    """The answer of a law for one step of each path.

    Attributes:
        stress: at the end of the step, MPa, shape (paths, components).
        state: at the end of the step, of the type that `Law.initial_state` returns.
        tangent: d stress_i / d strain_j at the end of the step, MPa, shape (paths, components, components): the
            derivative of this very step (the algorithmic tangent), with which Newton's method converges
            quadratically. None unless requested.
    """

    stress: FloatArray
    state: State
    tangent: FloatArray | None = None


class Law(ABC):
    """A material law for any number of paths and components; custom laws inherit from it.

    A law holds its parameters and nothing else. What a path remembers is in the state, which the caller owns: to
    commit a step the caller keeps the new state, to roll it back the caller keeps the old one. A law that is written
    in strain increments stores the last strain in its state.

    Attributes:
        components: number of strain and of stress components. Strain is dimensionless, stress in MPa.
    """

    components: int

    @abstractmethod
    def initial_state(self, paths: int) -> State:
        """Return the state before the first step, for this many paths: a NamedTuple of arrays, each (paths, ...)."""

    @abstractmethod
    def step(self, strain: FloatArray, state: State, *, tangent: bool = False) -> Step:
        """Advance all paths by one step, and leave the arguments unchanged.

        Args:
            strain: at the end of the step, dimensionless, shape (paths, components).
            state: at the start of the step.
            tangent: whether to compute the tangent.

        Returns:
            A `Step`. The same arguments give the same answer.
        """


class Response(NamedTuple):
    """The answer of a law along strain paths.

    Attributes:
        stress: MPa, of the shape of the strain.
        state: after the last step; its arrays have an axis of paths even for a single path. `drive` continues from it.
        states: after each step, of the type of `state`, with arrays (n, T, ...), or (T, ...) for strain of shape (T,).
            None unless requested.
        tangents: of each step, MPa, shape (n, T, c, c), or the shape of the strain where that has no axis of
            components. None unless requested.
    """

    stress: FloatArray
    state: State
    states: State | None = None
    tangents: FloatArray | None = None


def drive(
    law: Law,
    strain: ArrayLike,
    *,
    state: State | None = None,
    states: bool = False,
    tangents: bool = False,
    caller: str = "drive",
) -> Response:
    """Take a law along strain paths, all paths at once.

    Args:
        law: a `Law` of c components.
        strain: dimensionless, finite, shape (n, T, c); for a law of one component also (T,) or (n, T).
        state: before the first step; None takes the initial state of the law.
        states: whether to return the state after each step.
        tangents: whether to return the tangent of each step.
        caller: name for messages.

    Returns:
        A `Response`: the stress in MPa, the last state, and what was requested.

    Raises:
        InputError: a strain that is not finite or does not have the components of the law, a state of another number
            of paths, or a law that does not keep its contract.
    """
    strain = require_finite(caller, strain=strain)
    # Time first: a step then reads and writes contiguous memory.
    steps = np.ascontiguousarray(np.moveaxis(_with_all_axes(law, strain, caller), 1, 0))
    state = law.initial_state(steps.shape[1]) if state is None else state
    _check_state(state, steps.shape[1], caller)
    stress = np.empty_like(steps)
    every_state = [np.empty((len(steps), *np.shape(part)), np.asarray(part).dtype) for part in state if states]
    every_tangent = np.empty((*steps.shape, law.components)) if tangents else None
    for index, now in enumerate(steps):
        step = law.step(now, state, tangent=tangents)
        _check_step(law, step, now.shape, tangents)
        state = step.state
        stress[index] = step.stress
        if states:
            for past, part in zip(every_state, state, strict=True):
                past[index] = part
        if tangents:
            every_tangent[index] = step.tangent
    return Response(
        stress=_as_strain(stress, strain.ndim, component_axes=1),
        state=state,
        states=type(state)(*(_as_strain(part, strain.ndim) for part in every_state)) if states else None,
        tangents=_as_strain(every_tangent, strain.ndim, component_axes=2) if tangents else None,
    )


def _with_all_axes(law: Law, strain: FloatArray, caller: str) -> FloatArray:
    """View the strain as (n, T, c)."""
    components = law.components
    if strain.ndim == 3 and strain.shape[2] == components:
        return strain
    if strain.ndim in (1, 2) and components == 1:
        return np.atleast_2d(strain)[..., None]
    shapes = "(T,), (n, T) or (n, T, 1)" if components == 1 else f"(n, T, {components})"
    raise InputError(
        f"{caller}: expected strain of shape {shapes}, since {type(law).__name__} has {components} "
        f"component{'s' * (components != 1)}, received shape {strain.shape}"
    )


def _as_strain(history: FloatArray, rank: int, component_axes: int = 0) -> FloatArray:
    """Bring (T, n, ...) to the axes of a strain of this rank: paths first, and none that the strain does not have."""
    history = np.moveaxis(history, 0, 1)
    if rank < 3:
        history = history[(..., *[0] * component_axes)]
    return np.ascontiguousarray(history[0] if rank == 1 else history)


def _check_state(state: State, paths: int, caller: str) -> None:
    for name, part in zip(state._fields, state, strict=True):
        if np.shape(part)[:1] != (paths,):
            raise InputError(
                f"{caller}: expected a state of as many paths as the strain has, {paths}, received {name} of shape "
                f"{np.shape(part)}; None takes the initial state of the law"
            )


def _check_step(law: Law, step: Step, shape: tuple[int, ...], tangent: bool) -> None:
    """Refuse an answer of another shape: NumPy would broadcast it into the history without an error."""
    if step.stress.shape != shape:
        name, expected, received = "stress", shape, step.stress.shape
    elif tangent and step.tangent.shape != (*shape, law.components):
        name, expected, received = "tangent", (*shape, law.components), step.tangent.shape
    else:
        return
    raise InputError(f"{type(law).__name__}.step: expected to return a {name} of shape {expected}, received {received}")
