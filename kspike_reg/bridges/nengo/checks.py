"""Neuron types in ensembles by hand: what would do nothing, or not fit, is refused when Nengo builds them."""

from typing import Any

import numpy as np

from kspike_reg.errors import InputError

__all__ = ["require_fit", "require_no_drive"]


def require_no_drive(model: Any, neuron_type: Any, neurons: Any) -> None:
    """Refuse what would drive neurons that are driven at their ensemble, since it would do nothing.

    Args:
        model: a `nengo.builder.Model`, in which the ensemble has its bias.
        neuron_type: one of `nengo.neurons`.
        neurons: the `nengo.ensemble.Neurons` of the ensemble.

    Raises:
        InputError: a bias, noise or a connection at the neurons.
    """
    driven = {
        "a bias": np.any(model.sig[neurons]["bias"].initial_value),
        "noise": neurons.ensemble.noise is not None,
        "a connection": any(each.post_obj == neurons for each in getattr(model.toplevel, "all_connections", ())),
    }
    for what, exists in driven.items():
        if exists:
            raise InputError(
                f"{type(neuron_type).__name__}: {neurons.ensemble} has {what} at its neurons, which receive four "
                "currents each; connect to the ensemble, of 4 * units dimensions, and give the biases as gate_bias"
            )


def require_fit(neuron_type: Any, neurons: Any, width: tuple[int, ...]) -> None:
    """Refuse weights of another number of neurons, by one step from rest.

    Args:
        neuron_type, neurons: as in `require_no_drive`.
        width: shape of the currents.

    Raises:
        InputError: shapes that do not fit.
    """
    state = neuron_type.make_state(neurons.size_in)
    try:
        neuron_type.step(1.0, np.zeros(width), np.zeros(neurons.size_in), **state)
    except ValueError as error:
        shapes = [
            f"{name} {value.shape}"
            for name in sorted(neuron_type._paramdict)
            if isinstance(value := getattr(neuron_type, name), np.ndarray)
        ]
        raise InputError(
            f"{type(neuron_type).__name__}: {neurons.ensemble} has {neurons.size_in} neurons that receive {width[0]} "
            f"currents, and the type has {', '.join(shapes)}, which do not fit; expected one number for each neuron, "
            "and four currents for each of SpikingLSTM"
        ) from error
