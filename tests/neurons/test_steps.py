"""The pure step functions compared with traces worked by hand."""

import math

import numpy as np
import pytest
from keras import ops

from kspike_reg.neurons.leaky import leaky_integrator_step
from kspike_reg.neurons.lif import lif_step
from kspike_reg.neurons.rlif import rlif_step
from kspike_reg.neurons.slstm import slstm_step
from oracles.backend import numpy_of, torch_arrays

pytestmark = torch_arrays

# Rounding of float32 in a handful of operations on numbers of order one.
ROUNDING = 1e-6


def trace_of(step, current, steps, units=1, **options):
    """Run `step` from zero states with a constant current; returns a list of (membranes, spikes) per step."""
    membrane = spikes = ops.zeros((1, units))
    current = ops.reshape(tensor(current), (1, units))
    trace = []
    for _ in range(steps):
        spikes, membrane = step(current, membrane, spikes, **options)
        assert tuple(spikes.shape) == tuple(membrane.shape) == (1, units)
        trace.append(tuple(values[0].tolist() for values in numpy_of([membrane, spikes])))
    return trace


def tensor(*values):
    return ops.convert_to_tensor(np.array(values, "float32"))


@pytest.mark.parametrize(
    ("reset", "expected"),
    [
        ("subtract", [(0.6, 0), (0.9, 0), (1.05, 1), (0.125, 0), (0.6625, 0)]),
        ("zero", [(0.6, 0), (0.9, 0), (1.05, 1), (0.6, 0), (0.9, 0)]),
        ("none", [(0.6, 0), (0.9, 0), (1.05, 1), (1.125, 1), (1.1625, 1)]),
    ],
)
def test_lif_step_follows_a_trace_worked_by_hand(reset, expected):
    """Decay 0.5, threshold 1, current 0.6: it fires at the third step, and the reset acts at the fourth."""
    trace = trace_of(lif_step, 0.6, 5, decay=tensor(0.5), threshold=tensor(1.0), reset=reset)
    assert [spikes for _, spikes in trace] == [[fired] for _, fired in expected]
    np.testing.assert_allclose([u for u, _ in trace], [[u] for u, _ in expected], rtol=ROUNDING)


def test_lif_step_subtracts_the_threshold_by_default():
    options = {"decay": tensor(0.5), "threshold": tensor(1.0)}
    assert trace_of(lif_step, 0.6, 5, **options) == trace_of(lif_step, 0.6, 5, **options, reset="subtract")
    assert trace_of(lif_step, 0.6, 5, **options) != trace_of(lif_step, 0.6, 5, **options, reset="zero")


def test_lif_step_fires_exactly_at_the_threshold():
    """H(0) = 1: the current 1.0 alone lifts the membrane to the threshold 1.0; all numbers are exact in binary."""
    trace = trace_of(lif_step, 1.0, 3, decay=tensor(0.5), threshold=tensor(1.0))
    assert trace == [([1.0], [1.0]), ([0.5], [0.0]), ([1.25], [1.0])]
    below = np.nextafter(np.float32(1.0), np.float32(0.0))
    assert trace_of(lif_step, below, 1, decay=tensor(0.5), threshold=tensor(1.0))[0][1] == [0.0]


def test_lif_step_has_a_decay_and_a_threshold_for_each_neuron():
    """The second neuron: decay 0.25, threshold 0.5, current 0.45: 0.45, then 0.1125 + 0.45 fires, then -0.5."""
    trace = trace_of(lif_step, (0.6, 0.45), 4, units=2, decay=tensor(0.5, 0.25), threshold=tensor(1.0, 0.5))
    assert [spikes for _, spikes in trace] == [[0, 0], [0, 1], [1, 0], [0, 0]]
    expected = [[0.6, 0.45], [0.9, 0.5625], [1.05, 0.090625], [0.125, 0.47265625]]
    np.testing.assert_allclose([u for u, _ in trace], expected, rtol=ROUNDING)


def test_rlif_step_feeds_spikes_back_through_the_dense_kernel():
    """Neuron 0 fires at step three and raises neuron 1 by V[0, 1] = 0.5 at step four, which would not fire alone.

    Neuron 1 fires at step four and lowers neuron 0 by V[1, 0] = -0.25 at step five.
    """
    kernel = tensor([0.0, 0.5], [-0.25, 0.0])
    options = {"decay": tensor(0.5, 0.5), "threshold": tensor(1.0, 1.0)}
    trace = trace_of(rlif_step, (0.6, 0.3), 5, units=2, recurrent_kernel=kernel, **options)
    assert [spikes for _, spikes in trace] == [[0, 0], [0, 0], [1, 0], [0, 1], [0, 0]]
    expected = [[0.6, 0.3], [0.9, 0.45], [1.05, 0.525], [0.125, 1.0625], [0.4125, -0.16875]]
    np.testing.assert_allclose([u for u, _ in trace], expected, rtol=ROUNDING)
    alone = trace_of(lif_step, (0.6, 0.3), 5, units=2, **options)
    assert [spikes[1] for _, spikes in alone] == [0, 0, 0, 0, 0]


def test_rlif_step_feeds_spikes_back_one_to_one():
    """Each neuron receives only its own spikes: 0.5 raises neuron 0 after its spike, -0.25 lowers neuron 1."""
    options = {"decay": tensor(0.5, 0.25), "threshold": tensor(1.0, 0.5), "recurrence": "one_to_one"}
    trace = trace_of(rlif_step, (0.6, 0.45), 4, units=2, recurrent_kernel=tensor(0.5, -0.25), **options)
    assert [spikes for _, spikes in trace] == [[0, 0], [0, 1], [1, 0], [0, 0]]
    expected = [[0.6, 0.45], [0.9, 0.5625], [1.05, -0.159375], [0.625, 0.41015625]]
    np.testing.assert_allclose([u for u, _ in trace], expected, rtol=ROUNDING)


def test_rlif_step_uses_the_feedback_argument_and_resets_by_its_own_spikes():
    """With dropout V receives something else than S[t-1]; the reset still uses S[t-1]: 0.5 + 0.7 + 0.2 * 3 - 1."""
    spikes, membrane = numpy_of(
        rlif_step(
            tensor([0.7]),
            tensor([1.0]),
            tensor([1.0]),
            recurrent_kernel=tensor(0.2),
            recurrence="one_to_one",
            feedback=tensor([3.0]),
            decay=tensor(0.5),
            threshold=tensor(1.0),
        )
    )
    np.testing.assert_allclose(membrane, [[0.8]], rtol=ROUNDING)
    assert spikes.tolist() == [[0.0]]


def slstm_case():
    """Two neurons whose gates are simple fractions.

    Neuron 0: sigmoid(i) = 3/4, sigmoid(f) = 1/4, tanh(g) = 3/5, sigmoid(o) = 4/5, from c = 2:
        c = 2/4 + 3/4 * 3/5 = 0.95.
    Neuron 1: sigmoid(i) = 1/2, sigmoid(f) = 4/5, tanh(g) = 4/5, sigmoid(o) = 1/4, from c = -1:
        c = -4/5 + 1/2 * 4/5 = -0.4.
    Half of the argument of each gate comes from the inputs, the other half through V from h[t-1] = (0.5, -0.25).
    """
    log = math.log
    gates = np.array([log(3), 0.0, -log(3), log(4), log(2), log(3), log(4), -log(3)])  # i0 i1 f0 f1 g0 g1 o0 o1
    membrane = np.array([[0.5, -0.25]])
    # Rows of V: neuron 0 adds three quarters of the argument, 0.5 * 1.5 gates; neuron 1 subtracts one, -0.25 gates.
    kernel = np.stack([1.5 * gates, gates])
    case = {"currents": gates[None] / 2, "membrane": membrane, "carry": np.array([[2.0, -1.0]])}
    case["recurrent_kernel"] = kernel
    np.testing.assert_allclose(case["currents"] + membrane @ kernel, gates[None])
    return {name: tensor(*values) for name, values in case.items()}


@pytest.mark.parametrize(
    ("reset", "membrane_0", "fires"),
    [
        ("subtract", 0.8 * math.tanh(0.95) - 0.3, False),  # 0.2918, just below the threshold
        ("zero", 0.0, False),
        ("none", 0.8 * math.tanh(0.95), True),  # 0.5918
    ],
)
def test_slstm_step_worked_by_hand(reset, membrane_0, fires):
    """Neuron 0 fired before, threshold 0.3: each reset gives another membrane. Neuron 1 did not and is not reset."""
    spikes, membrane, carry = numpy_of(
        slstm_step(spikes=tensor([1.0, 0.0]), threshold=tensor(0.3, 0.2), reset=reset, **slstm_case())
    )
    np.testing.assert_allclose(carry, [[0.95, -0.4]], rtol=ROUNDING)
    np.testing.assert_allclose(membrane, [[membrane_0, 0.25 * math.tanh(-0.4)]], rtol=ROUNDING, atol=1e-7)
    assert spikes.tolist() == [[float(fires), 0.0]]


def test_slstm_step_subtracts_the_threshold_by_default():
    case = slstm_case() | {"spikes": tensor([1.0, 0.0]), "threshold": tensor(0.3, 0.2)}
    default, subtract, zero = (
        numpy_of(slstm_step(**case, **options)[1]) for options in ({}, {"reset": "subtract"}, {"reset": "zero"})
    )
    np.testing.assert_array_equal(default, subtract)
    assert not np.array_equal(default, zero)


def test_slstm_step_never_fires_with_a_threshold_of_one():
    """|sigmoid(o) tanh(c)| < 1 for all gates; with a threshold of 0.5 the same input fires."""
    generator = np.random.default_rng(4)
    currents = tensor(*generator.normal(0.0, 2.0, (200, 4 * 3)))
    counts = {}
    for threshold in (0.5, 1.0):
        spikes = membrane = carry = ops.zeros((200, 3))
        counts[threshold] = 0
        for _ in range(6):
            spikes, membrane, carry = slstm_step(
                currents,
                membrane,
                spikes,
                carry,
                recurrent_kernel=ops.zeros((3, 12)),
                threshold=tensor(threshold, threshold, threshold),
                reset="none",
            )
            counts[threshold] += int(numpy_of(spikes).sum())
    assert counts[1.0] == 0
    assert counts[0.5] > 100


def test_leaky_integrator_step_worked_by_hand():
    """Decays 0.5 and 0.25, currents 1 and -2; never reset, never clipped."""
    membrane = ops.zeros((1, 2))
    trace = []
    for _ in range(4):
        membrane = leaky_integrator_step(tensor([1.0, -2.0]), membrane, decay=tensor(0.5, 0.25))
        trace.append(numpy_of(membrane)[0].tolist())
    assert trace == [[1.0, -2.0], [1.5, -2.5], [1.75, -2.625], [1.875, -2.65625]]
