"""The regression network of the paper (eq. 13), with spiking neurons or with their conventional counterparts."""

import math

import keras
import numpy as np

from kspike_reg.errors import InputError, require_whole
from kspike_reg.neurons import LIF, RLIF, SLSTM, LeakyIntegrator, PopulationMean, surrogates
from kspike_reg.neurons.cell import OUTPUTS, RESETS, SMALLEST_THRESHOLD, SpikingCell
from kspike_reg.neurons.layer import NeuronLayer

__all__ = ["BASELINES", "KINDS", "SPIKING", "build", "spiking_layers"]

SPIKING = {"lif": LIF, "rlif": RLIF, "slstm": SLSTM}
BASELINES = {
    "dense": keras.layers.Dense,
    "rnn": keras.layers.SimpleRNN,
    "gru": keras.layers.GRU,
    "lstm": keras.layers.LSTM,
}
KINDS = (*SPIKING, *BASELINES)


def build(
    kind,
    *,
    features=1,
    outputs=1,
    units=128,
    population=128,
    depth=3,
    timesteps=None,
    surrogate="atan",
    reset="subtract",
    readout="membrane",
    decay=None,
    threshold=None,
    readout_decay=None,
    recompute=None,
    seed=0,
):
    """Build and compile a regression network: path in, path out (paper, eq. 13).

        inputs - depth x spiking(units) - decoding(units) - population(population) - mean(outputs)

    The last spiking layer hands its membrane to two layers of leaky integrators, whose mean is the answer. The
    baselines put conventional layers in place of the spiking ones and linear dense layers in place of the
    integrators. Decays and thresholds start as in the paper, at 0.1 (SLSTM: thresholds and the readout's decays
    uniform in [0, 1)), kernels and biases uniform within 1 / sqrt(fan in), as PyTorch starts linear layers, and the
    biases of forget gates at one, as Keras starts them.

    Args:
        kind: "lif", "rlif", "slstm" (spiking), "dense", "rnn", "gru", "lstm" (baselines).
        features: input quantities per step.
        outputs: output quantities per step.
        units: neurons in each hidden layer and in the decoding layer.
        population: neurons of the population layer, a multiple of `outputs`.
        depth: number of hidden layers.
        timesteps: steps of every path; None leaves them open.
        surrogate: derivative of the spike in the backward pass; ignored by the baselines.
        reset: "subtract", "zero" or "none"; ignored by the baselines.
        readout: what the readout sees of the last spiking layer, "membrane" or "spikes"; ignored by the baselines.
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
    _choose("kind", kind, KINDS)
    sizes = {"features": features, "outputs": outputs, "units": units, "population": population, "depth": depth}
    if timesteps is not None:
        sizes["timesteps"] = timesteps
    require_whole("build", **sizes)
    require_whole("build", least=0, seed=seed)
    sizes = {name: int(size) for name, size in sizes.items()}
    if population % outputs:
        raise InputError(
            f"build: a population of {population} neurons cannot vote on {outputs} outputs in equal groups; "
            f"choose a multiple of {outputs}, {outputs * math.ceil(population / outputs)} say"
        )
    surrogates.check(surrogate)
    _choose("reset", reset, RESETS)
    _choose("readout", readout, OUTPUTS)

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


def compile_for_regression(model, learning_rate=1e-3, weight_decay=0.01, clipping=None):
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


def spiking_layers(model):
    """The layers of `model` that fire, in their order."""
    return [layer for layer in model.layers if isinstance(layer, NeuronLayer) and isinstance(layer.cell, SpikingCell)]


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


def _hidden(kind, units, fan_in, seeds, name, output, threshold, decay, **firing):
    options = _within_fan_in(fan_in, seeds)
    if kind == "dense":
        return keras.layers.Dense(units, activation="relu", name=name, **options)
    if kind != "lif":
        limit = 1 / math.sqrt(units)
        options["recurrent_initializer"] = keras.initializers.RandomUniform(-limit, limit, seed=next(seeds))
    if kind in BASELINES:
        return BASELINES[kind](units, return_sequences=True, name=name, **options)
    if kind == "slstm":
        decay, threshold = None, (0.0, 1.0) if threshold is None else threshold
    options |= _start("threshold", threshold, seeds) | _start("decay", decay, seeds)
    return SPIKING[kind](units, return_sequences=True, output=output, name=name, **options, **firing)


def _readout(kind, units, fan_in, seeds, name, decay, recompute):
    options = _within_fan_in(fan_in, seeds)
    if kind in BASELINES:
        return keras.layers.Dense(units, name=name, **options)
    if kind == "slstm" and decay is None:
        decay = (0.0, 1.0)
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
