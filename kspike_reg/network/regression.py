"""The regression network of the paper (eq. 13), with spiking neurons or with their conventional counterparts."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from kspike_reg.errors import InputError, require_whole
from kspike_reg.network.kinds import BASELINES, SPIKING
from kspike_reg.neurons import surrogates
from kspike_reg.neurons.cell import SMALLEST_THRESHOLD
from kspike_reg.neurons.leaky import LeakyIntegrator
from kspike_reg.neurons.options import constructor_options
from kspike_reg.neurons.population import PopulationMean
from kspike_reg.neurons.registry import OUTPUTS, RESETS

__all__ = ["build", "compile_for_regression"]


def build(
    kind: str,
    *,
    features: int = 1,
    outputs: int = 1,
    units: int = 128,
    population: int = 128,
    depth: int = 3,
    timesteps: int | None = None,
    surrogate: str = "atan",
    reset: str = "subtract",
    readout: str = "membrane",
    decay: float | Sequence[float] | None = None,
    threshold: float | Sequence[float] | None = None,
    readout_decay: float | Sequence[float] | None = None,
    recompute: int | None = None,
    seed: int = 0,
) -> keras.Model:
    """Build and compile a regression network from path to path (paper, eq. 13).

        inputs - depth x spiking(units) - decoding(units) - population(population) - mean(outputs)

    The last spiking layer emits its membrane to two layers of leaky integrators, whose mean is the output. The
    baselines have conventional layers instead of the spiking ones and linear dense layers instead of the integrators.
    Decays and thresholds start as in the paper, at 0.1 (SLSTM: thresholds and the readout's decays uniform in [0, 1)),
    kernels and biases uniform within 1 / sqrt(fan in), as PyTorch starts linear layers, and the biases of forget gates
    at one, as Keras starts them.

    Args:
        kind: a name in `network.SPIKING`, "lif", "rlif", "slstm", or in `network.BASELINES`, "dense", "rnn", "gru",
            "lstm".
        features: input quantities per step.
        outputs: output quantities per step.
        units: neurons in each hidden layer and in the decoding layer.
        population: neurons of the population layer, a multiple of `outputs`.
        depth: number of hidden layers.
        timesteps: steps of every path; None leaves them open.
        surrogate: derivative of the spike in the backward pass; ignored by the baselines.
        reset: "subtract", "zero" or "none"; ignored by the baselines.
        readout: what the last spiking layer emits to the readout, "membrane" or "spikes"; ignored by the baselines.
        decay: of the spiking layers at the start of training: a number in [0, 1], or a pair, lower and upper end of
            a uniform draw; None as in the paper. SLSTM has none; ignored by the baselines.
        threshold: of the spiking layers, likewise, numbers of 1e-4 or more; ignored by the baselines.
        readout_decay: of the two layers of integrators, likewise, in [0, 1]; ignored by the baselines.
        recompute: a number lets the spiking layers and the integrators run forward once more in the backward pass, to
            save memory in training; see `neurons.layer.NeuronLayer` for what it counts. Ignored by the baselines.
        seed: of the initial weights; the same seed gives the same network.

    Returns:
        A `keras.Model` from (batch, timesteps, features) to (batch, timesteps, outputs), on standardised data,
        compiled with the paper's AdamW and mean squared error.

    Raises:
        InputError: an unknown kind, surrogate, reset or readout, a size that is not a positive integer, or a
            population that is no multiple of the outputs.
    """
    _choose("kind", kind, (*SPIKING, *BASELINES))
    _choose("reset", reset, RESETS)
    _choose("readout", readout, OUTPUTS)
    surrogates.check(surrogate)
    require_whole("build", least=0, seed=seed)
    given = {"features": features, "outputs": outputs, "units": units, "population": population, "depth": depth}
    sizes = _sizes(**given, **({} if timesteps is None else {"timesteps": timesteps}))

    seeds = iter(int(word) for word in np.random.SeedSequence(seed).generate_state(5 * (sizes["depth"] + 2)))
    inputs = keras.Input((timesteps, sizes["features"]), name="inputs")
    firing = {"surrogate": surrogate, "reset": reset, "threshold": threshold, "decay": decay, "recompute": recompute}
    x = inputs
    for number in range(1, sizes["depth"] + 1):
        output = readout if number == sizes["depth"] else "spikes"
        x = _hidden(kind, sizes["units"], x.shape[-1], seeds, f"{kind}_{number}", output=output, **firing)(x)
    for name, width in (("decoding", sizes["units"]), ("population", sizes["population"])):
        x = _readout(kind, width, x.shape[-1], seeds, name, readout_decay, recompute)(x)
    model = keras.Model(inputs, PopulationMean(sizes["outputs"], name="mean")(x), name=kind)
    compile_for_regression(model)
    return model


def _sizes(**sizes: int) -> dict[str, int]:
    """The sizes as integers, refused unless they are positive and the population divides into the outputs."""
    require_whole("build", **sizes)
    population, outputs = sizes["population"], sizes["outputs"]
    if population % outputs:
        raise InputError(
            f"build: a population of {population} neurons cannot be divided into {outputs} outputs in equal groups; "
            f"choose a multiple of {outputs}, {outputs * math.ceil(population / outputs)} say"
        )
    return {name: int(size) for name, size in sizes.items()}


def compile_for_regression(
    model: keras.Model, learning_rate: Any = 1e-3, weight_decay: float = 0.01, clipping: float | None = None
) -> None:
    """Compile with AdamW, by default at the paper's settings, and the mean squared error over the steps that count.

    Args:
        model: any `keras.Model`.
        learning_rate: a number or a Keras schedule.
        weight_decay: of AdamW.
        clipping: largest norm of the gradient over all weights; None does not clip.
    """
    model.compile(
        optimizer=keras.optimizers.AdamW(
            learning_rate, beta_1=0.9, beta_2=0.999, weight_decay=weight_decay, global_clipnorm=clipping
        ),
        # Steps with weight zero, the padding of shorter paths, must not dilute the mean.
        loss=keras.losses.MeanSquaredError(reduction="mean_with_sample_weight"),
    )
    # Else a model that is saved before its first step of training is loaded with a warning of missing variables.
    model.optimizer.build(model.trainable_variables)


def _choose(name, value, choices):
    if value not in choices:
        raise InputError(f"build: unknown {name} {value!r}; choose one of {', '.join(choices)}")


def _within_fan_in(fan_in, seeds):
    """Kernel and bias uniform within 1 / sqrt(fan in); without a bias the neurons of one input would start in step."""
    limit = 1 / math.sqrt(fan_in)
    return {
        "kernel_initializer": keras.initializers.RandomUniform(-limit, limit, seed=next(seeds)),
        "bias_initializer": keras.initializers.RandomUniform(-limit, limit, seed=next(seeds)),
    }


def _hidden(
    kind: str, units: int, fan_in: int, seeds: Iterator[int], name: str, output: str, threshold: Any, decay: Any, **more
) -> keras.layers.Layer:
    options = _within_fan_in(fan_in, seeds)
    if kind == "dense":
        return keras.layers.Dense(units, activation="relu", name=name, **options)
    layer = SPIKING[kind] if kind in SPIKING else BASELINES[kind]
    known = constructor_options(layer.cell_class) if kind in SPIKING else {"recurrent_initializer"}
    if "recurrent_initializer" in known:
        limit = 1 / math.sqrt(units)
        options["recurrent_initializer"] = keras.initializers.RandomUniform(-limit, limit, seed=next(seeds))
    if kind in BASELINES:
        return layer(units, return_sequences=True, name=name, **options)
    threshold = layer.cell_class.starts.get("threshold") if threshold is None else threshold
    options |= _start("threshold", threshold, seeds)
    if "decay_initializer" in known:
        options |= _start("decay", decay, seeds)
    return layer(units, return_sequences=True, output=output, name=name, **options, **more)


def _readout(
    kind: str, units: int, fan_in: int, seeds: Iterator[int], name: str, decay: Any, recompute: int | None
) -> keras.layers.Layer:
    options = _within_fan_in(fan_in, seeds)
    if kind in BASELINES:
        return keras.layers.Dense(units, name=name, **options)
    decay = SPIKING[kind].cell_class.starts.get("readout_decay") if decay is None else decay
    options |= _start("readout_decay", decay, seeds)
    return LeakyIntegrator(units, return_sequences=True, name=name, recompute=recompute, **options)


def _start(name, value, seeds):
    """The option for a weight that starts from one number, or from a uniform draw between two; none for None."""
    if value is None:
        return {}
    least, greatest = (SMALLEST_THRESHOLD, math.inf) if name == "threshold" else (0, 1)
    ends = [float(end) for end in np.ravel(value)]
    # A draw may start at zero: the least threshold allowed is too near to it to matter, and is seen to by the cell.
    number, pair = len(ends) == 1, len(ends) == 2
    if not ((number and least <= ends[0] <= greatest) or (pair and 0 <= ends[0] < ends[1] <= greatest)):
        raise InputError(
            f"build: expected {name} to be a number from {least} to {greatest}, or a pair of them that rises, "
            f"received {value!r}"
        )
    draw = keras.initializers.RandomUniform(*ends, seed=next(seeds)) if pair else ends[0]
    return {f"{name.removeprefix('readout_')}_initializer": draw}
