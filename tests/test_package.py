"""The package as a whole: imports between its packages, public names, metadata, the start of the command line."""

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

# The packages and modules in the order of their dependencies: each imports only those before it.
ORDER = (
    "typing", "lazy", "registry", "errors", "archives", "escape", "ragged", "files", "tables", "metrics",
    "mechanics", "neurons", "keras_metrics", "network", "datasets", "snapshots", "training", "evaluation", "plotting",
    "energy", "bridges", "experiments", "cli",
)  # fmt: skip
# Packages that the main flow does not need, and the packages that may import them.
OPTIONAL = {"energy": {"experiments", "cli"}, "bridges": {"cli"}}


def files_of(package):
    """The files of a package or module."""
    path = ROOT / "kspike_reg" / package
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def imported_by(tree):
    """The full names that a module imports anywhere in its code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def imports_of(package):
    """Our other packages and the third-party packages that a package imports."""
    ours, others = set(), set()
    for file in files_of(package):
        for name in imported_by(ast.parse(file.read_text())):
            top, *rest = name.split(".")
            if top == "kspike_reg":
                ours.add(rest[0])
            else:
                others.add(top)
    return ours - {package, "__version__"}, others


@pytest.mark.parametrize("package", ORDER)
def test_imports_go_one_way(package):
    ours, others = imports_of(package)
    assert ours <= set(ORDER[: ORDER.index(package)]), f"{package} imports a package that depends on it"
    for name, users in OPTIONAL.items():
        assert name not in ours or package in users, f"{package} imports {name}"
    if ORDER.index(package) < ORDER.index("neurons") or package == "datasets":
        assert others.isdisjoint({"keras", "tensorflow", "matplotlib"})
    if package != "energy":
        assert "keras_spiking" not in others
    if package != "bridges":
        assert others.isdisjoint({"nengo", "nengo_dl", "nengo_loihi", "nir"})


def test_every_package_has_a_place_in_the_order():
    found = {file.stem for file in (ROOT / "kspike_reg").iterdir() if not file.name.startswith("__")}
    assert found - {"py"} == set(ORDER)


def trees_outside(package):
    """The syntax trees of all modules that do not belong to a package, by file."""
    for file in (ROOT / "kspike_reg").rglob("*.py"):
        if not file.is_relative_to(ROOT / "kspike_reg" / package):
            yield file, ast.parse(file.read_text())


# Attributes by which Keras connects layers; `layers` of a model is another one.
WALKS = {"_nodes_by_depth", "_inbound_nodes", "_outbound_nodes", "_functional", "_operations"}


def walks_models(tree):
    """The lines where a module reads the graph of a model by itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if node.attr in WALKS or (node.attr == "layers" and ("model" in owner or "network" in owner)):
                yield node.lineno


def test_only_the_network_package_reads_the_graphs_of_models():
    for file, tree in trees_outside("network"):
        assert not list(walks_models(tree)), f"{file} reads a model without network.graph"


NEURONS = {
    "SpikingCell", "LeakyCell",
    *(name for name in kspike_reg.neurons.__all__ if name.removesuffix("Cell") in
      {path.rpartition(":")[2] for path in map(str, registry.SPIKING._places.values())}),
    "LeakyIntegrator", "LeakyIntegratorCell",
}  # fmt: skip


def _class_name(node):
    """The name of our class that a node may refer to; NIR and Nengo have a LIF of their own."""
    if isinstance(node, ast.Attribute):
        owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", None)
        return None if owner in ("nir", "nengo_neurons") else node.attr
    return getattr(node, "id", None)


def compares_classes(tree):
    """The lines where a module decides by the class of a neuron: isinstance, a comparison, a key of a dictionary."""
    for node in ast.walk(tree):
        parts = []
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
            parts = node.args[1:]
        elif isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key is not None]
        for part in parts:
            if NEURONS & {name for each in ast.walk(part) if (name := _class_name(each))}:
                yield node.lineno


def test_only_the_neurons_package_compares_classes_of_neurons():
    assert {"LIF", "LIFCell", "RLIF", "SLSTMCell"} < NEURONS
    assert list(compares_classes(ast.parse("isinstance(x, (A, neurons.LIFCell))"))) == [1]
    assert list(compares_classes(ast.parse("x = {LIF: 1}\ny = type(x) is LIF"))) == [1, 2]
    for file, tree in trees_outside("neurons"):
        assert not list(compares_classes(tree)), f"{file} compares the class of a neuron; use a property of its cell"


def test_options_of_kernels_are_passed_by_keyword():
    """Calls of our classes in the neurons package never pass True or False as a positional argument."""
    for file in (ROOT / "kspike_reg" / "neurons").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "")[:1].isupper():
                bare = [part for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, bool)]
                assert not bare, f"{file}:{node.lineno}"


def test_numba_stays_in_the_compiled_engine():
    """Its kernels and loops import only surrogates and errors from our package and load when a layer first runs."""
    path, engine = ROOT / "kspike_reg" / "neurons" / "engines" / "cpu", "kspike_reg.neurons.engines.cpu"
    light = {path / "__init__.py", path / "engine.py"}
    users = set()
    for file in (ROOT / "kspike_reg").rglob("*.py"):
        tree = ast.parse(file.read_text())
        imported = set(imported_by(tree))
        if any(name.partition(".")[0] == "numba" for name in imported):
            users.add(file)
        if file.parent == path and file not in light:
            ours = {name for name in imported if name.startswith("kspike_reg") and not name.startswith(engine)}
            allowed = ("neurons.surrogates", "neurons.cell.NeuronCell", "errors.InputError")
            assert ours <= {f"kspike_reg.{name}" for name in allowed}, file
    assert users
    assert all(file.parent == path and file not in light for file in users), users


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


def untyped(body, owner=""):
    """Public functions, methods and constructors of a module with a parameter or a result without a type."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from untyped(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef) and (node.name == "__init__" or not node.name.startswith("_")):
            arguments = node.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            typed = [each.annotation is not None for each in named if each and each.arg not in ("self", "cls")]
            if not (all(typed) and node.returns):
                yield f"{owner}{node.name}"


def test_public_signatures_have_types():
    """All but the functions of kernels, whose types numba knows from their decorators."""
    assert list(untyped(ast.parse("def f(a, b: int) -> int: ...\ndef _g(a): ...").body)) == ["f"]
    kernels = {"advance", "restore", "reverse"}
    for file in (ROOT / "kspike_reg").rglob("*.py"):
        found = set(untyped(ast.parse(file.read_text()).body))
        assert found <= (kernels if file.parent.name == "cpu" else set()), f"{file}: {sorted(found)}"


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
    """Also in the same order, so that the help lists them like the package."""
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
    """setup.cfg lists them, since the trained networks have their own folder."""
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
    """A separate process prints the heavy modules that it loaded."""
    script = (
        "import json, sys; sys.argv = ['kspike-reg']; import kspike_reg.cli as cli\n"
        f"try: status = cli.main({arguments!r})\n"
        "except SystemExit as end: status = end.code\n"
        "heavy = sorted({'keras', 'tensorflow', 'jax', 'torch', 'matplotlib', 'pandas'} & set(sys.modules))\n"
        "print(json.dumps([status, heavy]))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(process.stdout.splitlines()[-1]) == [2 if "x" in arguments else 0, []]


def test_the_overview_does_not_import_numpy():
    """It describes no command and needs no registry, which halves the time to the first line."""
    script = (
        "import sys; sys.argv = ['kspike-reg']; from kspike_reg import cli\n"
        "cli.main([]); assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)


def test_without_arguments_the_command_line_shows_its_commands(capsys):
    """Every command, and examples that it can parse."""
    assert cli.main([]) == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"^    {name} +\w", shown, re.MULTILINE) for name in cli.COMMANDS)
    examples = re.findall(r"^    kspike-reg (.+)$", shown, re.MULTILINE)
    assert len(examples) == 6
    parsed = [cli.build_parser().parse_args(example.split()) for example in examples]
    assert {options.name for options in parsed} <= set(cli.COMMANDS)


def test_the_command_line_prints_its_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"kspike_reg {kspike_reg.__version__}\n"


def test_keras_loads_models_after_importing_the_package(tmp_path):
    file = tmp_path / "model.keras"
    kspike_reg.build("lif", units=3, population=2).save(file)
    script = f"import kspike_reg, keras; print(keras.models.load_model({str(file)!r}).count_params())"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert int(process.stdout) == kspike_reg.load(file).count_params()
