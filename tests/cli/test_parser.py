"""The parser takes its choices from the registries and its defaults from the functions that the commands call."""

import argparse
import inspect

import pytest

from kspike_reg import bridges, cli, datasets, evaluation
from kspike_reg.bridges import targets
from kspike_reg.bridges.nir import parameters
from kspike_reg.cli.command import Command
from kspike_reg.datasets import families, tasks
from kspike_reg.energy import devices, profile
from kspike_reg.experiments import configuration, recipes, reproduce, studies
from kspike_reg.network import kinds, outside
from kspike_reg.neurons import registry

TRAIN = ["train", "--task", "elasticity", "--out", "run"]
EVALUATE = ["evaluate", "model.keras", "--data", "paths.csv"]
EXPORT = ["export", "model.keras", "--out", "file"]
ENERGY = ["energy", "model.keras", "--data", "paths.csv"]

# For each option: the dictionary with its choices, and the other arguments of a command that has the option.
REGISTRIES = {
    "--task": (tasks.TASKS, ["train", "--out", "run"]),
    "--family": (families.FAMILIES, TRAIN),
    "--recipe": (recipes.RECIPES, TRAIN),
    "--schedule": (configuration.SCHEDULES, TRAIN),
    "--kind": (registry.SPIKING, TRAIN),
    "--kind of a baseline": (kinds.BASELINES, TRAIN),
    "--outside": (outside.OUTSIDE, EVALUATE),
    "--simulator": (targets.SIMULATORS, EVALUATE),
    "--to": (targets.TARGETS, EXPORT),
    "--form": (parameters.FORMS, [*EXPORT, "--to", "nir"]),
    "--device": (devices.DEVICES, ENERGY),
    "study": (studies.STUDIES, ["reproduce"]),
    "recipe of a study": (recipes.RECIPES, ["reproduce", "cyclic", "--recipe"]),
}
# The options whose choices are a tuple of names instead.
TUPLES = {
    "--loss-weighting": (configuration, "LOSS_WEIGHTINGS"),
    "--reset": (registry, "RESETS"),
    "--readout": (registry, "OUTPUTS"),
}


def described(command):
    """The parser of one command."""
    actions = cli.build_parser()._actions
    (subparsers,) = (action for action in actions if isinstance(action, argparse._SubParsersAction))
    return subparsers.choices[command]


def parsed(name, words, value):
    """Parse arguments with an option; returns the values of the namespace, whose names do not matter here."""
    option = name.split()[0]
    return vars(cli.build_parser().parse_args([*words, *[option] * option.startswith("--"), value]))


def is_taken(name, words, value="brand-new"):
    """Whether the parser accepts a value and its help shows it."""
    try:
        values = parsed(name, words, value).values()
    except SystemExit:
        return False
    # argparse may break a line at a dash.
    help_text = "".join(described(words[0]).format_help().split())
    return (value in values or [value] in values) and value in help_text


@pytest.mark.parametrize("name", REGISTRIES)
def test_an_entry_of_a_registry_is_a_choice(name, monkeypatch):
    """The entry is enough; the command line needs no change."""
    entries, words = REGISTRIES[name]
    assert not is_taken(name, words)
    entry = targets.Target("something", (".x",), print) if entries is targets.TARGETS else object()
    monkeypatch.setitem(entries, "brand-new", entry)
    assert is_taken(name, words)


@pytest.mark.parametrize("name", TUPLES)
def test_a_name_in_a_tuple_is_a_choice(name, monkeypatch):
    module, attribute = TUPLES[name]
    assert not is_taken(name, TRAIN)
    monkeypatch.setattr(module, attribute, (*getattr(module, attribute), "brand-new"))
    assert is_taken(name, TRAIN)


def test_an_entry_of_the_commands_is_a_command(monkeypatch, capsys):
    ran = []
    command = Command("Do something new.", lambda parser: parser.add_argument("--often", type=int), ran.append)
    monkeypatch.setitem(cli.COMMANDS, "new", command)
    assert cli.main(["new", "--often", "3"]) == 0
    assert [(options.name, options.often) for options in ran] == [("new", 3)]
    assert cli.main([]) == 0
    assert "Do something new." in capsys.readouterr().out


def test_every_option_with_choices_is_in_the_table_above():
    """A new option with choices needs a row, which checks that it takes them from a registry."""
    found = {
        action.option_strings[0] if action.option_strings else action.dest
        for name in cli.COMMANDS
        for action in described(name)._actions
        if action.choices
    }
    assert found == {name for name in {*REGISTRIES, *TUPLES} if " " not in name}


def default_of(function, parameter):
    return inspect.signature(function).parameters[parameter].default


def test_defaults_are_those_of_the_functions_that_a_command_calls():
    """The functions are imported with Keras, so the parser cannot read their defaults."""
    read = {name: default_of(datasets.read, name) for name in ("path_column", "step_column")}
    checked = {"outside": default_of(evaluation.predict, "outside")}
    expected = {
        "train": read,
        "evaluate": read | checked,
        "predict": read | checked,
        "energy": read | checked | {"bits": default_of(profile, "bits")},
        "export": read | {"form": default_of(bridges.to_nir, "form")},
        "reproduce": {"workers": default_of(reproduce, "workers")},
    }
    assert expected.keys() == set(cli.COMMANDS)
    for name, defaults in expected.items():
        command = described(name)
        assert {option: command.get_default(option) for option in defaults} == defaults


def test_only_the_commands_among_the_arguments_get_their_options():
    """Listing choices imports NumPy; the overview does not need it."""
    actions = cli.build_parser(["predict", "--help"])._actions
    (subparsers,) = (action for action in actions if isinstance(action, argparse._SubParsersAction))
    options = {name: len(command._actions) for name, command in subparsers.choices.items()}
    assert options.pop("predict") > 5
    assert set(options) == {"train", "reproduce", "evaluate", "energy", "export"}
    assert set(options.values()) == {1}  # --help


def test_a_tuple_is_shown_the_way_users_type_it():
    help_text = " ".join(described("train").format_help().split())
    assert "(default: 0.7 0.15 0.15)" in help_text
