"""Contenders in PyTorch: the same network from the neurons of snnTorch, SpikingJelly and Norse, where installed.

Three spiking layers, of which the last hands on its membrane, two layers of leaky integrators, the mean; the mean
squared error, AdamW with its fused step; decays and thresholds are learned where the package offers it. Each is tried
in all its forms, and the fastest counts: whole layers over all steps, where inputs are projected at once, or all layers
step by step, or whole layers with each neuron's step compiled by torch.compile. Compiling the whole network lays out
its steps, and took minutes at 20 of them; it made SpikingJelly's multi-step mode, whose way back is written by hand, no
faster. Subnormal numbers are flushed to zero. Time is the first axis, as these packages have it.

SpikingJelly and Norse have no spiking LSTM whose output is a membrane that fires: SpikingJelly's has gates that spike,
Norse's LSNN is no LSTM.
"""

import platform
import sys
from importlib.metadata import version
from importlib.util import find_spec

import torch

from contenders.cases import DEPTH, FEATURES, OUTPUTS, SEED
from contenders.process import MEBI, Contender

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DECAY = THRESHOLD = 0.1
PACKAGES = ("snntorch", "spikingjelly", "norse")

# SpikingJelly asks for TensorBoard, that for TensorFlow if it is there, which dies beside Triton in one process.
sys.modules["tensorflow"] = None

torch.set_flush_denormal(True)
# The neurons' steps share code, but not what it is compiled for: layer, first or later step, training or inference.
torch._dynamo.config.recompile_limit = 64


class TorchNetwork(Contender):
    """A PyTorch module in training; subclasses say which."""

    forms = ("layer by layer", "step by step", "layer by layer, steps compiled")

    def __init__(self, case):
        super().__init__(case)
        torch.manual_seed(SEED)
        self.inputs, self.targets = (
            torch.from_numpy(each).transpose(0, 1).contiguous().to(DEVICE) for each in case.data()
        )
        self.model = Network(self.layers(), self.forms).to(DEVICE)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
        self.modes = {"training": self.train, "inference": self.infer}

    def layers(self):
        """The hidden layers and the readout, from modules of the package."""
        units = self.case.units
        widths = [FEATURES, *DEPTH * [units]]
        hidden = [self.hidden(widths[n], units, last=n + 1 == DEPTH) for n in range(DEPTH)]
        return [*hidden, self.integrator(units), self.integrator(units)]

    def run(self, mode, form):
        self.modes[mode](self.model.forms[form])
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    def train(self, forward):
        """One step of the optimizer."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(forward(self.inputs), self.targets)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def infer(self, forward):
        """One forward pass."""
        with torch.inference_mode():
            return forward(self.inputs)

    def weights(self):
        return sum(weight.numel() for weight in self.model.parameters())

    def on_device(self):
        return {"device / MiB": torch.cuda.max_memory_allocated() / MEBI} if DEVICE == "cuda" else {}


class Network(torch.nn.Module):
    """Layers one after the other, then the mean over groups of neurons."""

    def __init__(self, layers, forms):
        super().__init__()
        self.stack = torch.nn.ModuleList(layers)
        ways = {
            "layer by layer": self.by_layers,
            "step by step": self.by_steps,
            "layer by layer, steps compiled": lambda paths: self.by_layers(paths, compiled=True),
        }
        self.forms = {form: ways[form] for form in forms}

    def by_layers(self, paths, **options):
        """Each layer over all steps before the next one."""
        for layer in self.stack:
            paths = layer(paths, **options)
        return mean_of_groups(paths)

    def by_steps(self, paths):
        """All layers for each step before the next one."""
        states, answers = [None] * len(self.stack), []
        for x in paths:
            for n, layer in enumerate(self.stack):
                x, states[n] = layer.advance(layer.project(x), states[n])
            answers.append(mean_of_groups(x))
        return torch.stack(answers)


def mean_of_groups(neurons):
    """Neurons (..., units) to answers (..., outputs)."""
    return neurons.unflatten(-1, (OUTPUTS, -1)).mean(-1)


class Stepped(torch.nn.Module):
    """A layer of neurons that a package offers step by step.

    Args:
        projection: from inputs to currents, which may serve all steps at once.
        neurons: the package's module.
        advance: function from (neurons, currents, state, None at the first step) to (outputs, state).
        learned: further parameters, which the module does not register by itself.
    """

    def __init__(self, projection, neurons, advance, learned=()):
        super().__init__()
        self.project, self.neurons, self.rule = projection, neurons, advance
        self.compiled_rule = torch.compile(advance, dynamic=False)
        self.learned = torch.nn.ParameterList(learned)

    def advance(self, currents, state):
        """One step."""
        return self.rule(self.neurons, currents, state)

    def forward(self, paths, compiled=False):
        """All steps: inputs (time, batch, features) to outputs (time, batch, units)."""
        rule = self.compiled_rule if compiled else self.rule
        state, outputs = None, []
        for currents in self.project(paths):
            output, state = rule(self.neurons, currents, state)
            outputs.append(output)
        return torch.stack(outputs)


def per_neuron(value, units):
    """One number for each neuron."""
    return torch.full((units,), float(value))


def snntorch_network():
    """The contender from snnTorch."""
    import snntorch

    class CarryingSLSTM(snntorch.SLSTM):
        """`snntorch.SLSTM`, whose call takes its states for those of another batch, and forgets them, wherever there
        are not as many inputs as neurons.
        """

        def forward(self, inputs, carry, membrane):
            self.syn, self.mem = carry, membrane
            self.reset = self.mem_reset(self.mem)
            self.syn, self.mem = self.state_function(inputs)
            return self.fire(self.mem), self.syn, self.mem

    def leaky(neurons, currents, membrane, last):
        spikes, membrane = neurons(currents, torch.zeros_like(currents) if membrane is None else membrane)
        return membrane if last else spikes, membrane

    def recurrent(neurons, currents, state, last):
        state = neurons(currents, *(state or (torch.zeros_like(currents), torch.zeros_like(currents))))
        return state[1] if last else state[0], state

    def lstm(neurons, inputs, state, last):
        zeros = inputs.new_zeros(len(inputs), neurons.hidden_size)
        spikes, *state = neurons(inputs, *(state or (zeros, zeros)))
        return state[1] if last else spikes, state

    def learned(units):
        return {
            "beta": per_neuron(DECAY, units),
            "threshold": per_neuron(THRESHOLD, units),
            "learn_beta": True,
            "learn_threshold": True,
        }

    class SnnTorch(TorchNetwork):
        """Leaky, RLeaky and SLSTM neurons of snnTorch.

        RLeaky has a bias in its recurrent projection and SLSTM two biases, as PyTorch's LSTMCell has. snnTorch's
        parallel, kernel, unrolled and state-space neurons have no reset and are other models.
        """

        def hidden(self, inputs, units, last):
            if self.case.kind == "slstm":
                neurons = CarryingSLSTM(
                    inputs, units, threshold=torch.rand(units), learn_threshold=True, reset_mechanism="subtract"
                )
                return Stepped(torch.nn.Identity(), neurons, lambda *step: lstm(*step, last))
            if self.case.kind == "rlif":
                neurons, rule = snntorch.RLeaky(linear_features=units, **learned(units)), recurrent
            else:
                neurons, rule = snntorch.Leaky(**learned(units)), leaky
            return Stepped(torch.nn.Linear(inputs, units), neurons, lambda *step: rule(*step, last))

        def integrator(self, units):
            neurons = snntorch.Leaky(per_neuron(DECAY, units), learn_beta=True, reset_mechanism="none")
            return Stepped(torch.nn.Linear(units, units), neurons, lambda *step: leaky(*step, last=True))

    return SnnTorch


def spikingjelly_network():
    """The contender from SpikingJelly."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    def spiking(**options):
        return neuron.ParametricLIFNode(
            init_tau=1 / (1 - DECAY),
            decay_input=False,
            v_threshold=THRESHOLD,
            v_reset=None,
            surrogate_function=surrogate.ATan(),
            detach_reset=True,
            **options,
        )

    class Spiking(torch.nn.Module):
        """A projection and neurons over all steps, in the multi-step mode; the last layer stores its membranes."""

        def __init__(self, inputs, units, last):
            super().__init__()
            self.last, self.project = last, torch.nn.Linear(inputs, units)
            self.neurons = spiking(step_mode="m", store_v_seq=last)

        def forward(self, paths):
            functional.reset_net(self.neurons)
            spikes = self.neurons(self.project(paths))
            return self.neurons.v_seq if self.last else spikes

    class Recurrent(torch.nn.Module):
        """Neurons in a `LinearRecurrentContainer`, which projects inputs and last spikes side by side.

        It wants as many inputs as neurons, so that the first layer has a projection more.
        """

        def __init__(self, inputs, units, last):
            super().__init__()
            self.last, self.project = last, torch.nn.Identity() if inputs == units else torch.nn.Linear(inputs, units)
            # The container's own multi-step mode keeps no membranes.
            self.neurons = layer.LinearRecurrentContainer(spiking(), units, units, step_mode="s" if last else "m")

        def forward(self, paths):
            functional.reset_net(self.neurons)
            currents = self.project(paths)
            if not self.last:
                return self.neurons(currents)
            membranes = []
            for current in currents:
                self.neurons(current)
                membranes.append(self.neurons.sub_module.v)
            return torch.stack(membranes)

    class Integrator(torch.nn.Module):
        """A projection and neurons that do not spike."""

        def __init__(self, units):
            super().__init__()
            self.project, self.neurons = torch.nn.Linear(units, units), neuron.NonSpikingLIFNode(tau=1 / (1 - DECAY))

        def forward(self, paths):
            return torch.stack(self.neurons(self.project(paths)))

    class SpikingJelly(TorchNetwork):
        """Parametric LIF neurons of SpikingJelly: one decay for each layer; thresholds and the readout's decays are
        not learned, and the reset follows the spike at once.
        """

        kinds = ("lif", "rlif")
        forms = ("layer by layer",)

        def hidden(self, inputs, units, last):
            return {"lif": Spiking, "rlif": Recurrent}[self.case.kind](inputs, units, last)

        def integrator(self, units):
            return Integrator(units)

    return SpikingJelly


def norse_network():
    """The contender from Norse."""
    from norse.torch import LIBoxCell, LIFBoxCell, LIFRecurrentCell
    from norse.torch.functional.leaky_integrator_box import LIBoxParameters
    from norse.torch.functional.lif import LIFParameters
    from norse.torch.functional.lif_box import LIFBoxParameters

    def rate(units):
        return torch.nn.Parameter(per_neuron(1 - DECAY, units))

    def advance(neurons, currents, state):
        return neurons(currents, state)

    def membrane(neurons, currents, state):
        _, state = neurons(currents, state)
        return state.v, state

    class Norse(TorchNetwork):
        """LIFBox, which is LIF without the synapse's own decay, and LIFRecurrent neurons of Norse, by their cells.

        The modules that Norse has over time (Lift, LIFRecurrent) are the same loop over the same cells; they do not
        hand on membranes. The reset is to zero, recurrent layers have no bias.
        """

        kinds = ("lif", "rlif")

        def hidden(self, inputs, units, last):
            learned = [rate(units), torch.nn.Parameter(per_neuron(THRESHOLD, units))]
            options = {"tau_mem_inv": learned[0], "v_th": learned[1]}
            if self.case.kind == "rlif":
                options["tau_syn_inv"] = torch.tensor(1.0)
                projection = torch.nn.Identity()
                neurons = LIFRecurrentCell(inputs, units, LIFParameters(**options), autapses=True, dt=1.0)
            else:
                projection = torch.nn.Linear(inputs, units)
                neurons = LIFBoxCell(LIFBoxParameters(**options), dt=1.0)
            return Stepped(projection, neurons, membrane if last else advance, learned)

        def integrator(self, units):
            learned = rate(units)
            neurons = LIBoxCell(LIBoxParameters(tau_mem_inv=learned), dt=1.0)
            return Stepped(torch.nn.Linear(units, units), neurons, advance, [learned])

    return Norse


def about():
    """Versions, device and threads."""
    installed = ["torch", *(name for name in PACKAGES if find_spec(name))]
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in installed},
        "device": DEVICE,
        "threads": torch.get_num_threads(),
    }


MAKERS = {"snntorch": snntorch_network, "spikingjelly": spikingjelly_network, "norse": norse_network}
CONTENDERS = {name: MAKERS[name]() for name in PACKAGES if find_spec(name)}
