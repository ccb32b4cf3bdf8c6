"""What the networks of all PyTorch packages share: training, inference, and the ways to run layers over time.

The network is that of `kspike_reg.build`: three spiking layers, of which the last one emits its membrane, two layers
of leaky integrators, and the mean over groups of neurons. It is trained with the mean squared error and the fused
AdamW. Decays and thresholds are learned where the package supports it. Subnormal numbers are flushed to zero. Time is
the first axis, as in these packages.

The fastest of these forms counts:

- layer by layer: each layer runs over all steps and projects all inputs at once;
- step by step: all layers run for one step before the next step;
- layer by layer, steps compiled: `torch.compile` compiles the step of each layer's neurons.

Compiling the whole network unrolls its steps and took minutes for 20 of them. It did not speed up SpikingJelly's
multi-step mode, whose backward pass is written by hand.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from implementations.cases import DEPTH, FEATURES, OUTPUTS, SEED, Case
from implementations.process import MEBI, Implementation

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DECAY = THRESHOLD = 0.1

torch.set_flush_denormal(True)
# Steps of all neurons share code but are compiled separately: by layer, first or later step, training or inference.
torch._dynamo.config.recompile_limit = 64


class TorchNetwork(Implementation):
    """A PyTorch module with its optimizer; subclasses define the layers."""

    forms = ("layer by layer", "step by step", "layer by layer, steps compiled")

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        torch.manual_seed(SEED)
        self.inputs, self.targets = (
            torch.from_numpy(each).transpose(0, 1).contiguous().to(DEVICE) for each in case.data()
        )
        self.model = Network(self.layers(), self.forms).to(DEVICE)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
        self.modes = {"training": self.train, "inference": self.infer}

    def layers(self) -> list[torch.nn.Module]:
        """Hidden layers and readout, made of modules of the package."""
        units = self.case.units
        widths = [FEATURES, *DEPTH * [units]]
        hidden = [self.hidden(widths[n], units, last=n + 1 == DEPTH) for n in range(DEPTH)]
        return [*hidden, self.integrator(units), self.integrator(units)]

    def hidden(self, inputs: int, units: int, last: bool) -> torch.nn.Module:
        """A spiking layer; the last one emits membranes."""
        raise NotImplementedError

    def integrator(self, units: int) -> torch.nn.Module:
        """A layer of leaky integrators, as wide as its inputs."""
        raise NotImplementedError

    def run(self, mode: str, form: str) -> None:
        self.modes[mode](self.model.forms[form])
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    def train(self, forward: Callable) -> float:
        """Run one step of the optimizer and return the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(forward(self.inputs), self.targets)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def infer(self, forward: Callable) -> torch.Tensor:
        """Run one forward pass."""
        with torch.inference_mode():
            return forward(self.inputs)

    def weights(self) -> int:
        return sum(weight.numel() for weight in self.model.parameters())

    def on_device(self) -> dict[str, float]:
        return {"device / MiB": torch.cuda.max_memory_allocated() / MEBI} if DEVICE == "cuda" else {}


class Network(torch.nn.Module):
    """Layers in sequence, then the mean over groups of neurons.

    Args:
        layers: the layers.
        forms: names of the ways to run them, as in `TorchNetwork.forms`.
    """

    def __init__(self, layers: Iterable[torch.nn.Module], forms: Iterable[str]) -> None:
        super().__init__()
        self.stack = torch.nn.ModuleList(layers)
        functions = {
            "layer by layer": self.by_layers,
            "step by step": self.by_steps,
            "layer by layer, steps compiled": lambda paths: self.by_layers(paths, compiled=True),
        }
        self.forms = {form: functions[form] for form in forms}

    def by_layers(self, paths: torch.Tensor, **options: bool) -> torch.Tensor:
        """Run each layer over all steps before the next layer."""
        for layer in self.stack:
            paths = layer(paths, **options)
        return mean_of_groups(paths)

    def by_steps(self, paths: torch.Tensor) -> torch.Tensor:
        """Run all layers for one step before the next step."""
        states, answers = [None] * len(self.stack), []
        for x in paths:
            for n, layer in enumerate(self.stack):
                x, states[n] = layer.advance(layer.project(x), states[n])
            answers.append(mean_of_groups(x))
        return torch.stack(answers)


def mean_of_groups(neurons: torch.Tensor) -> torch.Tensor:
    """Average neurons (..., units) in groups, which gives outputs (..., outputs)."""
    return neurons.unflatten(-1, (OUTPUTS, -1)).mean(-1)


class Stepped(torch.nn.Module):
    """A layer of neurons that a package offers step by step.

    Args:
        projection: from inputs to currents; it may run once for all steps.
        neurons: the package's module.
        advance: function from (neurons, currents, state) to (outputs, state); the state is None at the first step.
        learned: further parameters, which the module itself does not register.
    """

    def __init__(
        self,
        projection: torch.nn.Module,
        neurons: torch.nn.Module,
        advance: Callable,
        learned: Iterable[torch.nn.Parameter] = (),
    ) -> None:
        super().__init__()
        self.project, self.neurons, self.rule = projection, neurons, advance
        self.compiled_rule = torch.compile(advance, dynamic=False)
        self.learned = torch.nn.ParameterList(learned)

    def advance(self, currents: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Run one step."""
        return self.rule(self.neurons, currents, state)

    def forward(self, paths: torch.Tensor, compiled: bool = False) -> torch.Tensor:
        """Run all steps: inputs (time, batch, features) to outputs (time, batch, units)."""
        rule = self.compiled_rule if compiled else self.rule
        state, outputs = None, []
        for currents in self.project(paths):
            output, state = rule(self.neurons, currents, state)
            outputs.append(output)
        return torch.stack(outputs)


def per_neuron(value: float, units: int) -> torch.Tensor:
    """The same value for each neuron."""
    return torch.full((units,), float(value))
