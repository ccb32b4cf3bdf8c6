"""The trained networks of the package: they load by name and have the errors on their cards."""

import json
from pathlib import Path

import pytest

import kspike_reg
from kspike_reg.evaluation import evaluate
from kspike_reg.experiments.card import card
from kspike_reg.experiments.run import recorded_configuration
from kspike_reg.network import spiking_layers
from kspike_reg.network.physical import scaling_of
from kspike_reg.network.saving import trained_networks

MODELS = Path(__file__).parents[1] / "models"
NAMES = {
    "lif-elasticity": ("lif", "elasticity", None),
    "lif-elasticity-loihi": ("lif", "elasticity", None),
    "rlif-ramberg-osgood": ("rlif", "ramberg-osgood", None),
    "slstm-hardening": ("slstm", "hardening", "mirror"),
    "lstm-hardening": ("lstm", "hardening", "mirror"),
    "slstm-cyclic-hardening": ("slstm", "hardening", "cyclic"),
}


def metrics_of(name):
    return json.loads((MODELS / name / "metrics.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_its_metrics_hold(name, tmp_path):
    """On the test set from the seed; other machines sum in another order, which may change a spike."""
    metrics = metrics_of(name)
    (tmp_path / "configuration.json").write_text(json.dumps(metrics["configuration"]))
    configuration = recorded_configuration(tmp_path)
    assert (configuration.kind, configuration.task, configuration.family) == NAMES[name]
    model = kspike_reg.load(name)
    found = evaluate(model, configuration.load_data()[2], outside="ignore")
    for space, errors in metrics["test"]["errors"].items():
        for metric, by_steps in errors.items():
            for steps, expected in by_steps.items():
                assert found["errors"][space][metric][steps] == pytest.approx(expected, rel=0.02), (metric, steps)
    assert found["parameters"] == metrics["test"]["parameters"]
    assert found["spike_rates"] == pytest.approx(metrics["test"]["spike_rates"], abs=1e-3)
    assert bool(spiking_layers(model)) == (configuration.kind != "lstm")


@pytest.mark.parametrize("name", NAMES)
def test_its_card_agrees_with_its_metrics_and_its_range_with_the_file(name):
    metrics = metrics_of(name)
    assert (MODELS / name / "card.md").read_text() == card(metrics)
    inputs, _ = scaling_of(kspike_reg.load(name))
    ranges = metrics["data"]["range"]
    assert [[low, high] for low, high in zip(inputs.lower, inputs.upper, strict=True)] == list(ranges.values())


def test_all_networks_of_the_package_are_tested():
    assert set(trained_networks()) == set(NAMES)
