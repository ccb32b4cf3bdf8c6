"""The package as a whole: which room may import which, public names, metadata, the start of the command line."""

import argparse
import ast
import configparser
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kspike_reg
from kspike_reg import cli, datasets, energy, experiments, network
from kspike_reg.bridges import simulation, targets
from kspike_reg.bridges.nir import parameters as nir_parameters
from kspike_reg.experiments import configuration
from kspike_reg.network import physical
from kspike_reg.neurons import registry

ROOT = Path(__file__).parents[1]

# Each room with the rooms that it may import; data walk one way.
ROOMS = {
    "lazy": set(),
    "errors": set(),
    "files": {"errors"},
    "metrics": {"errors"},
    "mechanics": {"errors"},
    "datasets": {"errors", "mechanics"},
    "neurons": {"errors"},
    "network": {"errors", "neurons"},
    "scaling": {"errors", "neurons"},
    "saving": {"errors", "files", "network", "scaling"},
    "evaluation": {"errors", "metrics", "network", "scaling"},
    "training": {"errors", "files"},
    "graph": {"errors"},
    "model_inputs": {"errors"},
    "energy": {
        "errors", "files", "graph", "lazy", "model_inputs", "network", "neurons", "plotting", "scaling", "tables",
    },
    "bridges": {
        "errors", "files", "graph", "lazy", "metrics", "model_inputs", "network", "neurons", "saving", "scaling",
        "tables",
    },
    "plotting": {"files", "metrics"},
    "tables": {"files"},
    "experiments": {
        "errors", "files", "datasets", "evaluation", "metrics", "network", "neurons", "plotting", "saving", "scaling",
        "tables", "training",
    },
    "arguments": set(),
    "cli": {
        "arguments", "bridges", "errors", "files", "datasets", "energy", "evaluation", "experiments", "saving",
        "scaling", "tables",
    },
}  # fmt: skip


def imports_of(room):
    """The other rooms, and the other packages, that the files of `room` import."""
    place = ROOT / "kspike_reg" / room
    rooms, packages = set(), set()
    for file in place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [
                    f"{node.module}.{name.name}" if node.module == "kspike_reg" else node.module for name in node.names
                ]
            elif isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            else:
                continue
            for name in names:
                package, _, rest = name.partition(".")
                if package == "kspike_reg":
                    rooms.add(rest.split(".")[0])
                else:
                    packages.add(package)
    return rooms - {room, ""}, packages


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_one_way(room):
    rooms, packages = imports_of(room)
    assert rooms <= ROOMS[room], f"{room} imports {rooms - ROOMS[room]}"
    if room in ("mechanics", "metrics", "datasets"):
        assert packages.isdisjoint({"keras", "tensorflow", "matplotlib"})
    if room != "energy":
        assert "keras_spiking" not in packages
    if room != "bridges":
        assert packages.isdisjoint({"nengo", "nengo_dl", "nengo_loihi", "nir"})


def test_numba_stays_with_the_compiled_loops():
    """They know of the other neurons' files the surrogates alone, and are loaded with the first path that they run."""
    _, everywhere = imports_of("neurons")
    assert "numba" in everywhere
    compiled, engine = ROOT / "kspike_reg" / "neurons" / "compiled", "kspike_reg.neurons.engines.cpu"
    for file in (ROOT / "kspike_reg").rglob("*.py"):
        tree = ast.parse(file.read_text())
        if file.parent == compiled:
            froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
            ours = {
                f"{node.module}.{name.name}"
                for node in froms
                for name in node.names
                if node.module.startswith("kspike_reg") and not node.module.startswith(engine)
            }
            assert ours <= {"kspike_reg.neurons.surrogates"}, file
            continue
        imported = [
            name.name if isinstance(node, ast.Import) else f"{node.module}.{name.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in node.names
        ]
        assert not any(name.partition(".")[0] == "numba" for name in imported), file
        at_the_top = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert not any(module.startswith(engine) for module in at_the_top), file


def test_a_model_is_built_without_numba():
    script = (
        "import sys, kspike_reg; model = kspike_reg.build('slstm', units=3, population=2); model.get_config()\n"
        "print('numba' in sys.modules); model(__import__('numpy').zeros((1, 2, 1))); print('numba' in sys.modules)"
    )
    environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    assert process.stdout.split() == ["False", "True"]


def test_every_room_is_in_the_plan():
    found = {file.stem for file in (ROOT / "kspike_reg").iterdir() if not file.name.startswith("__")}
    assert found == set(ROOMS)


def test_only_the_command_line_prints():
    for file in (ROOT / "kspike_reg").rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
        assert file.is_relative_to(ROOT / "kspike_reg" / "cli") or "print" not in names, file


def test_public_names():
    for name in kspike_reg.__all__:
        assert getattr(kspike_reg, name) is not None
    assert set(kspike_reg.__all__) <= set(dir(kspike_reg))
    with pytest.raises(AttributeError, match="no attribute 'bild'"):
        kspike_reg.bild  # noqa: B018


def test_the_choices_of_the_command_line_are_those_of_the_package():
    """In the same order, so that the help lists them as the package does."""
    (commands,) = (action for action in cli.build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert list(commands.choices) == list(cli.COMMANDS)
    choices = {}
    for command in commands.choices.values():
        for action in command._actions:
            if action.choices:
                assert choices.setdefault(action.dest, action.choices) == action.choices
    assert choices == {
        "task": tuple(datasets.TASKS),
        "family": tuple(datasets.FAMILIES),
        "study": tuple(experiments.STUDIES),
        "recipe": tuple(experiments.RECIPES),
        "schedule": tuple(configuration.SCHEDULES),
        "loss_weighting": tuple(configuration.LOSS_WEIGHTINGS),
        "kind": tuple(network.KINDS),
        "reset": tuple(registry.RESETS),
        "readout": tuple(registry.OUTPUTS),
        "outside": tuple(physical.OUTSIDE),
        "device": tuple(energy.DEVICES),
        "simulator": tuple(simulation.SIMULATORS),
        "to": tuple(targets.TARGETS),
        "form": tuple(nir_parameters.FORMS),
    }


def test_metadata_agree():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert importlib.metadata.version("kspike_reg") == settings["metadata"]["version"] == kspike_reg.__version__
    supported = [
        line.rpartition(" ")[2] for line in settings["metadata"]["classifiers"].splitlines() if "Python :: 3." in line
    ]
    assert settings["options"]["python_requires"] == f">={supported[0]},<3.{int(supported[-1][2:]) + 1}"
    assert f"Python {supported[0]} to {supported[-1]}" in (ROOT / "README.md").read_text()
    assert f"## {kspike_reg.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    citation = dict(re.findall(r"^(\w[\w-]*): (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE))
    assert citation["version"] == kspike_reg.__version__
    assert citation["license"] == settings["metadata"]["license"]


def test_every_package_is_installed():
    """setup.cfg names them one by one, since the trained networks lie in a folder of their own."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    found = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "kspike_reg").rglob("__init__.py")}
    assert set(settings["options"]["packages"].split()) == found | {"kspike_reg.models"}


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["--help"], ["--version"], *([name, "--help"] for name in cli.COMMANDS),
        ["train", "--task", "elasticity", "--kind", "x"], ["evaluate", "x"], ["x"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_command_line_answers_before_keras_is_loaded(arguments):
    """In a process of its own, which lists the heavy modules that it loaded."""
    script = (
        "import json, sys; sys.argv = ['kspike-reg']; import kspike_reg.cli as cli\n"
        f"try: status = cli.main({arguments!r})\n"
        "except SystemExit as end: status = end.code\n"
        "heavy = sorted({'keras', 'tensorflow', 'jax', 'torch', 'matplotlib', 'pandas'} & set(sys.modules))\n"
        "print(json.dumps([status, heavy]))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(process.stdout.splitlines()[-1]) == [2 if "x" in arguments else 0, []]


def test_the_overview_does_without_numpy():
    """It describes no command, so it needs no registry; that halves the time to the first line."""
    script = (
        "import sys; sys.argv = ['kspike-reg']; from kspike_reg import cli\n"
        "cli.main([]); assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)


def test_without_arguments_the_command_line_shows_what_one_can_do(capsys):
    """Every command, and examples that it understands."""
    assert cli.main([]) == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"^    {name} +\w", shown, re.MULTILINE) for name in cli.COMMANDS)
    examples = re.findall(r"^    kspike-reg (.+)$", shown, re.MULTILINE)
    assert len(examples) == 6
    parsed = [cli.build_parser().parse_args(example.split()) for example in examples]
    assert {options.name for options in parsed} <= set(cli.COMMANDS)


def test_the_command_line_tells_its_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"kspike_reg {kspike_reg.__version__}\n"


def test_importing_the_package_is_enough_for_keras_to_load_its_models(tmp_path):
    file = tmp_path / "model.keras"
    kspike_reg.build("lif", units=3, population=2).save(file)
    script = f"import kspike_reg, keras; print(keras.models.load_model({str(file)!r}).count_params())"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert int(process.stdout) == kspike_reg.load(file).count_params()
