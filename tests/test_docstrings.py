"""The docstrings of all public names document arguments, return values and errors; the API reference shows them."""

import ast
import functools
import importlib
import inspect
import re
import textwrap

import pytest

import kspike_reg
from kspike_reg.neurons.layer import NeuronLayer

# The packages and modules with public names in `__all__`.
PACKAGES = (
    "kspike_reg",
    *(f"kspike_reg.{name}" for name in kspike_reg._MODULES),
    "kspike_reg.neurons.surrogates",
)
# Code that implements equations of the literature cites them in its docstring or in that of its file.
WITH_SOURCE = ("kspike_reg.mechanics.", "kspike_reg.neurons.", "kspike_reg.metrics.mean_")
# The choice of the engine is not an equation.
WITHOUT_SOURCE = {f"kspike_reg.neurons.{name}" for name in ("engine", "set_engine", "road", "set_road")}
SOURCE = r"\beqs?\. \d|\bpaper\b|\(\d{4}\)"
UNITS = {
    "kspike_reg.mechanics.": r"\bMPa\b",
    "kspike_reg.datasets.elasticity": r"\bMPa\b",
    "kspike_reg.datasets.hardening": r"\bMPa\b",
    "kspike_reg.datasets.ramberg_osgood": r"\bMPa\b",
    "kspike_reg.energy.Device": r"\bjoules?\b|\bJ\b",
    "kspike_reg.energy.ModelEnergy": r"\bjoules?\b|\bJ\b",
}
# Arguments that are arrays; their shape must be documented, unless it is arbitrary.
ARRAYS = {"strain", "stress", "reference", "prediction", "values", "targets", "mask", "inputs", "x", "spread", "error"}
OUR_ERRORS = {"InputError", "ConvergenceError"}
# The constructor of a cell checks its options; the pure step checks them again for direct callers.
CHECKED_BEFORE = {"kspike_reg.neurons.LIFCell.step"}


def public_names():
    """Each public function and class once, by the first package that exports it."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing) or inspect.isclass(thing):
                found.setdefault(thing, f"{package}.{name}")
    return {name: thing for thing, name in found.items()}


def own_methods(name, cls):
    """The public methods that `cls` adds; overrides of documented methods have the same contract and are excluded."""
    return {
        f"{name}.{attribute}": method
        for attribute, method in vars(cls).items()
        if inspect.isfunction(method)
        and not attribute.startswith("_")
        and not any(hasattr(base, attribute) for base in cls.__mro__[1:])
    }


NAMES = public_names()
CLASSES = {name: thing for name, thing in NAMES.items() if inspect.isclass(thing)}
FUNCTIONS = {name: thing for name, thing in NAMES.items() if name not in CLASSES}
METHODS = {name: method for owner, cls in CLASSES.items() for name, method in own_methods(owner, cls).items()}


def documentation(thing):
    """The docstring; for a layer, with those of its cell and of the bases that explain its options."""
    texts = [inspect.getdoc(thing) or ""]
    if inspect.isclass(thing):
        cells = thing.cell_class.__mro__ if issubclass(thing, NeuronLayer) else ()
        texts += [vars(base).get("__doc__") or "" for base in (*thing.__mro__[1:], *cells) if is_ours(base)]
    return "\n\n".join(map(inspect.cleandoc, texts))


def is_ours(thing):
    return (thing.__module__ or "").startswith("kspike_reg")


def section(text, *titles):
    """The lines below these titles, or an empty string."""
    return "".join(re.findall(rf"^(?:{'|'.join(titles)}):\n((?:\n|    .*\n?)+)", text + "\n", re.MULTILINE))


def entries(text, *titles):
    """The entries of such a section by name; names may share a line: `input, output: shape (n, T)`."""
    found = {}
    for names, words in re.findall(
        r"^    ([*\w][*\w, ]*?):((?:.*\n?)(?:\n|     .*\n?)*)", section(text, *titles), re.MULTILINE
    ):
        found |= {name.strip(" *"): words for name in names.split(",")}
    return found


def parameters(thing):
    """The named parameters; none for an error class, whose parameters are those of Python."""
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return []
    every = inspect.signature(thing).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in every if one.kind not in variadic and one.name != "self"]


def nodes_of(function):
    """The nodes of the body of a function, without those of functions inside it."""
    waiting, found = list(ast.parse(textwrap.dedent(inspect.getsource(function))).body[0].body), []
    while waiting:
        node = waiting.pop()
        found.append(node)
        if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def returns_a_value(function):
    """Whether a function returns or yields anything but None."""
    nodes = nodes_of(function)
    values = [node.value for node in nodes if isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom))]
    return any(value is not None and not (isinstance(value, ast.Constant) and value.value is None) for value in values)


@functools.cache
def raised(function):
    """Our errors that a function raises, itself or in our functions that it calls by name."""
    found, waiting, seen = set(), [inspect.unwrap(function)], set()
    while waiting:
        one = waiting.pop()
        seen.add(one)
        for node in nodes_of(one):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                found.add(getattr(node.exc.func, "id", None))
            elif isinstance(node, ast.Call):
                called = inspect.unwrap(resolve(node.func, one.__globals__) or len)
                if inspect.isfunction(called) and is_ours(called) and called not in seen:
                    waiting.append(called)
    return found & OUR_ERRORS


def resolve(node, names):
    """The object that `name` or `module.name` refers to."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        module = names.get(node.value.id)
        return getattr(module, node.attr, None) if inspect.ismodule(module) else None
    return None


@pytest.mark.parametrize("name", NAMES | METHODS)
def test_it_has_a_summary(name):
    text = inspect.getdoc((NAMES | METHODS)[name])
    assert text
    assert text.split("\n\n")[0].endswith((".", ":", "?")), f"{name}: the summary is not a sentence"


@pytest.mark.parametrize("name", NAMES)
def test_it_explains_every_parameter(name):
    missing = set(parameters(NAMES[name])) - set(entries(documentation(NAMES[name]), "Args", "Attributes"))
    assert not missing, f"{name} does not explain {sorted(missing)}"


@pytest.mark.parametrize("name", METHODS)
def test_a_method_mentions_every_parameter(name):
    """One line may be enough for a method; it or its section Args names each parameter."""
    text = inspect.getdoc(METHODS[name])
    missing = [one for one in parameters(METHODS[name]) if not re.search(rf"\b{one}\b", text)]
    assert not missing, f"{name} does not mention {missing}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_explains_what_it_returns(name):
    # For a function without parameters, such as `names()`, the summary describes the return value.
    if returns_a_value(FUNCTIONS[name]) and parameters(FUNCTIONS[name]):
        assert section(documentation(FUNCTIONS[name]), "Returns", "Yields"), f"{name} does not explain what it returns"


@pytest.mark.parametrize("name", sorted((FUNCTIONS | METHODS).keys() - CHECKED_BEFORE))
def test_it_documents_the_errors_that_it_raises(name):
    function = (FUNCTIONS | METHODS)[name]
    undocumented = raised(function) - set(entries(inspect.getdoc(function) or "", "Raises"))
    assert not undocumented, f"{name} raises {sorted(undocumented)} and does not document it"


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.startswith(WITH_SOURCE) and name not in WITHOUT_SOURCE]
)
def test_it_cites_its_source(name):
    assert re.search(SOURCE, documentation(NAMES[name]) + (inspect.getmodule(NAMES[name]).__doc__ or ""))


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(tuple(UNITS)) and "Error" not in name])
def test_it_states_its_units(name):
    pattern = next(pattern for start, pattern in UNITS.items() if name.startswith(start))
    assert re.search(pattern, documentation(NAMES[name]))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_states_the_shapes_of_arrays(name):
    documented = entries(documentation(FUNCTIONS[name]), "Args")
    module = inspect.getmodule(FUNCTIONS[name]).__doc__ or ""
    for one in ARRAYS & set(parameters(FUNCTIONS[name])) & set(documented):
        words = documented[one] + (module if "see the module" in documented[one] else "")
        assert re.search(r"shape|\(\w+, \w+|\(n,\)|as for|names? of|a number", words), (
            f"{name} does not state the shape of {one}"
        )


def test_the_checks_find_what_is_missing():
    """The helper functions above find public names of each kind, the entries of a docstring, and raised errors."""
    assert {"kspike_reg.build", "kspike_reg.neurons.LIF", "kspike_reg.energy.profile"} <= set(NAMES)
    assert "kspike_reg.datasets.Paths.take" in METHODS
    assert set(METHODS) > CHECKED_BEFORE
    assert entries("X.\n\nArgs:\n    a, b: shape (n, T),\n        or none.\n    *c: d: e.\n", "Args") == {
        "a": " shape (n, T),\n        or none.\n",
        "b": " shape (n, T),\n        or none.\n",
        "c": " d: e.\n\n",
    }
    assert raised(kspike_reg.build) == {"InputError"}
    assert raised(kspike_reg.mechanics.ramberg_osgood) == OUR_ERRORS
    assert raised(section) == set()
    assert returns_a_value(section)
    assert not returns_a_value(kspike_reg.plotting.save)
    assert "decay_initializer" in parameters(kspike_reg.neurons.LIF)
