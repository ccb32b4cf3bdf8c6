"""Our NIR files read by snnTorch, Norse and NIRTorch, and a file of snnTorch read by us (extra bench).

Spikes are compared one by one. The readers compute in another order than we do, so each test checks that no membrane is
so near to its threshold that rounding could decide whether it fires.
"""

import warnings

import keras
import numpy as np
import pytest

from bridges.nir_networks import cut, network, paths
from kspike_reg.bridges.nir.files import from_nir, read_nir, write_nir
from kspike_reg.neurons import LIF, RLIF
from oracles.backend import numpy_of, torch_arrays

nir = pytest.importorskip("nir", reason="the extra nir is not installed")
torch = pytest.importorskip("torch", reason="the extra bench is not installed")
snntorch = pytest.importorskip("snntorch", reason="the extra bench is not installed")
nirtorch = pytest.importorskip("nirtorch", reason="the extra bench is not installed")

pytestmark = torch_arrays

# Single precision over a dozen steps on membranes of order one, weights scaled by 1 / (1 - decay) or 1 / threshold.
ROUNDING = 1e-5
KINDS = {
    "lif": (LIF, {}),
    "rlif": (RLIF, {"recurrence": "dense"}),
    "one_to_one": (RLIF, {"recurrence": "one_to_one"}),
}


def norse():
    """Norse, whose import warns of PyTorch's old compiler."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("norse.torch", reason="the extra bench is not installed", exc_type=ImportError)


def run(net, inputs):
    """Run a PyTorch network step by step, each from the state of the last; the spikes or membranes of all steps."""
    state, outputs = None, []
    with torch.no_grad():
        for step in range(inputs.shape[1]):
            output, state = net(torch.from_numpy(inputs[:, step]), state)
            outputs.append(output.numpy().copy())
    return np.stack(outputs, axis=1)


def spiking_part(kind, seed=1, **options):
    """Two spiking layers; checks that their membranes stay away from their thresholds on the test's paths."""
    layer, more = KINDS[kind]
    model = cut(network(layer, seed=seed, **more, **options), "second")
    for ours in model.layers[1:]:
        twin = type(ours).from_config(ours.get_config() | {"output": "membrane"})
        membranes = keras.Model(model.input, twin(ours.input))
        twin.set_weights(ours.get_weights())
        assert np.min(np.abs(numpy_of(membranes(paths())) - numpy_of(ours.cell.threshold))) > ROUNDING
    return model


def assert_same_spikes(model, theirs):
    ours = numpy_of(model(paths()))
    assert 0.1 < ours.mean() < 0.9, "a vacuous test: the neurons are almost silent or almost always fire"
    np.testing.assert_array_equal(theirs, ours)


def snntorch_of(file):
    from snntorch.import_nir import import_from_nir

    return import_from_nir(nir.read(file))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_snntorch_computes_our_zero_reset(tmp_path, kind, seed):
    model = spiking_part(kind, seed, reset="zero")
    write_nir(model, tmp_path / "model.nir", form="unit_threshold")
    assert_same_spikes(model, run(snntorch_of(tmp_path / "model.nir"), paths()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reset", ["subtract", "none"])
def test_snntorch_can_be_set_to_our_other_resets(tmp_path, kind, reset):
    """After the import its neurons reset to zero at once, which is another network; docs/nir.md says what to set."""
    model = spiking_part(kind, reset=reset)
    write_nir(model, tmp_path / "model.nir", form="unit_threshold")
    net = snntorch_of(tmp_path / "model.nir")
    assert not np.array_equal(run(net, paths()), numpy_of(model(paths())))
    net = snntorch_of(tmp_path / "model.nir")
    for module in net.modules():
        if isinstance(module, snntorch.Leaky):
            module.reset_mechanism, module.reset_delay = reset, True
            module.state_function = {"subtract": module._base_sub, "none": module._base_int}[reset]
    assert_same_spikes(model, run(net, paths()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # NIRTorch of its own reader that Norse uses
def test_norse_computes_our_zero_reset(tmp_path, kind, seed):
    """It ignores r, so our form makes it one; a decay of one then gives weights scaled by 2^55."""
    model = spiking_part(kind, seed, reset="zero")
    write_nir(model, tmp_path / "model.nir", form="unit_resistance")
    net = norse().from_nir(nir.read(tmp_path / "model.nir"), dt=1e-4)
    assert_same_spikes(model, run(net, paths()))


class Integrator(torch.nn.Module):
    """nir.LI by its equation."""

    def __init__(self, node):
        super().__init__()
        self.tau, self.r = torch.from_numpy(node.tau), torch.from_numpy(node.r)

    def forward(self, current, state=None):
        v = torch.zeros_like(current) if state is None else state
        v = v + 1e-4 / self.tau * (self.r * current - v)
        return v, v


class Threshold(torch.nn.Module):
    """nir.Threshold by its equation."""

    def __init__(self, node):
        super().__init__()
        self.threshold = torch.from_numpy(node.threshold)

    def forward(self, v):
        return (v > self.threshold).to(v.dtype)


def affine(node):
    module = torch.nn.Linear(*node.weight.shape[::-1])
    module.weight.data, module.bias.data = torch.from_numpy(node.weight), torch.from_numpy(node.bias)
    return module


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", ["spikes", "membrane"])
def test_nirtorch_runs_the_exact_form_of_a_whole_network(tmp_path, kind, output):
    """Reset by subtraction, membrane readout, integrators and population mean, in double precision."""
    spiking_part(kind)
    layer, more = KINDS[kind]
    model = network(layer, output=output, **more)
    write_nir(model, tmp_path / "model.nir", form="exact")
    modules = {nir.LI: Integrator, nir.Threshold: Threshold, nir.Affine: affine}
    net = nirtorch.nir_to_torch(nir.read(tmp_path / "model.nir"), modules, dtype=torch.float64)
    expected = numpy_of(model(paths()))
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(run(net, paths().astype("float64")), expected, atol=ROUNDING)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # NIRTorch of its own writer that snnTorch uses
def test_we_read_what_snntorch_writes(tmp_path, recurrent):
    """Its neurons with a reset to zero at once, as its own reader restores them; numbers in single precision."""
    from snntorch.export_nir import export_to_nir

    generator = torch.Generator().manual_seed(3)
    beta = torch.rand(4, generator=generator) * 0.8 + 0.1
    options = {"threshold": torch.full((4,), 0.6), "reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}
    if recurrent:
        neurons = snntorch.RLeaky(beta, linear_features=4, **options)
        neurons.recurrent.weight.data = torch.randn(4, 4, generator=generator)
        neurons.recurrent.bias.data = torch.randn(4, generator=generator) * 0.1
    else:
        neurons = snntorch.Leaky(beta, **options)
    linear = torch.nn.Linear(2, 4)
    linear.weight.data, linear.bias.data = torch.randn(4, 2, generator=generator), torch.full((4,), 0.2)
    net = torch.nn.Sequential(linear, neurons)
    graph = export_to_nir(net, torch.from_numpy(paths()[:, 0]), ignore_dims=[0])
    model = from_nir(graph)
    neurons.reset_mem()
    with torch.no_grad():
        theirs = np.stack([net(torch.from_numpy(paths()[:, step])).numpy() for step in range(13)], axis=1)
    assert type(model.layers[-1]) is (RLIF if recurrent else LIF)
    assert_same_spikes(model, theirs)
    nir.write(tmp_path / "model.nir", graph)
    assert_same_spikes(read_nir(tmp_path / "model.nir"), theirs)
