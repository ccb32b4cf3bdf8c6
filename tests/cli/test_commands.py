"""Commands use the registries: a target added to the registry can be exported to, with the options it declares."""

import sys

import pytest

from kspike_reg import cli
from kspike_reg.bridges import targets
from kspike_reg.cli.command import Command
from kspike_reg.cli.commands.export import OPTIONS
from kspike_reg.cli.entry import quiet_start

PATHS = "path,step,strain,stress\na,0,0.0,0\na,1,1e-4,30\nb,0,0.0,0\nb,1,5e-4,90\nb,2,9e-4,150\n"


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The calls of a new target "copy" that takes both options, in a folder with paths."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paths.csv").write_text(PATHS, encoding="utf-8")
    found = []

    def write(model, file, *, form, paths):
        found.append((model.name, file.name, form, paths.input_names, paths.target_names, len(paths)))
        return "exported"

    target = targets.Target("two files", (".one", ".two"), write, options=("form", "paths"))
    monkeypatch.setitem(targets.TARGETS, "copy", target)
    return found


def test_export_runs_a_new_target_with_its_options(calls, capsys):
    words = ["export", "lif-elasticity", "--to", "copy", "--out", "a.one", "--form", "exact", "--data", "paths.csv"]
    assert cli.main(words) == 0
    assert calls == [("lif", "a.one", "exact", ("strain",), ("stress",), 2)]
    assert capsys.readouterr().out == "exported\nwrote a.one and a.two\n"


def test_a_target_that_runs_the_network_needs_data(calls, capsys):
    assert cli.main(["export", "lif-elasticity", "--to", "copy", "--out", "a.one"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("kspike-reg export: error: --to copy runs the network: ")
    assert "--data" in captured.err
    assert not calls


def test_the_command_has_the_options_of_every_target():
    for name, target in targets.TARGETS.items():
        assert set(target.options) <= OPTIONS.keys(), name


def test_an_interruption_returns_its_status_and_prints_one_line(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, "wait", Command("Wait.", lambda parser: None, interrupted))
    assert cli.main(["wait"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_messages_of_the_backend_while_it_loads_are_hidden(capfd):
    with quiet_start():
        print("noise", file=sys.__stderr__, flush=True)
    assert capfd.readouterr().err == ""


def test_messages_of_the_backend_are_shown_if_loading_fails(capfd):
    def load():
        with quiet_start():
            print("the reason", file=sys.__stderr__, flush=True)
            raise ImportError

    with pytest.raises(ImportError):
        load()
    assert capfd.readouterr().err == "the reason\n"
