"""Every public name says what it takes, gives back and raises; the API reference is made of these docstrings."""

import ast
import functools
import importlib
import inspect
import re
import textwrap

import pytest

import kspike_reg
from kspike_reg.neurons.layer import NeuronLayer

# The rooms whose names a user may import, by way of `__all__`.
ROOMS = (
    "kspike_reg",
    *(f"kspike_reg.{name}" for name in kspike_reg._MODULES),
    "kspike_reg.neurons.surrogates",
)
# Where equations of the literature are put into code, the docstring or that of its file tells which.
WITH_SOURCE = ("kspike_reg.mechanics.", "kspike_reg.neurons.", "kspike_reg.metrics.mean_")
# How a path is computed is no equation.
WITHOUT_SOURCE = {"kspike_reg.neurons.road", "kspike_reg.neurons.set_road"}
SOURCE = r"\beqs?\. \d|\bpaper\b|\(\d{4}\)"
UNITS = {
    "kspike_reg.mechanics.": r"\bMPa\b",
    "kspike_reg.datasets.elasticity": r"\bMPa\b",
    "kspike_reg.datasets.hardening": r"\bMPa\b",
    "kspike_reg.datasets.ramberg_osgood": r"\bMPa\b",
    "kspike_reg.energy.Device": r"\bjoules?\b|\bJ\b",
    "kspike_reg.energy.ModelEnergy": r"\bjoules?\b|\bJ\b",
}
# Arguments that are arrays: their shape is told, unless it is any.
ARRAYS = {"strain", "stress", "reference", "prediction", "values", "targets", "mask", "inputs", "x", "spread", "error"}
OUR_ERRORS = {"InputError", "ConvergenceError"}
# A cell's options were checked by its constructor; the pure step checks them for those who call it by itself.
CHECKED_BEFORE = {"kspike_reg.neurons.LIFCell.step"}


def public_names():
    """Each public function and class once, by the first room that gives it."""
    found = {}
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing) or inspect.isclass(thing):
                found.setdefault(thing, f"{room}.{name}")
    return {name: thing for thing, name in found.items()}


def own_methods(name, cls):
    """The public methods that `cls` adds; what overrides a documented method keeps that one's contract."""
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
    """The docstring; of a layer, with those of its cell and of the bases that explain its options."""
    texts = [inspect.getdoc(thing) or ""]
    if inspect.isclass(thing):
        cells = thing.cell_class.__mro__ if issubclass(thing, NeuronLayer) else ()
        texts += [vars(base).get("__doc__") or "" for base in (*thing.__mro__[1:], *cells) if is_ours(base)]
    return "\n\n".join(map(inspect.cleandoc, texts))


def is_ours(thing):
    return (thing.__module__ or "").startswith("kspike_reg")


def section(text, *titles):
    """The lines under these titles, or an empty text."""
    return "".join(re.findall(rf"^(?:{'|'.join(titles)}):\n((?:\n|    .*\n?)+)", text + "\n", re.MULTILINE))


def entries(text, *titles):
    """What such a section explains, by name; names may share a line: `input, output: shape (n, T)`."""
    found = {}
    for names, words in re.findall(
        r"^    ([*\w][*\w, ]*?):((?:.*\n?)(?:\n|     .*\n?)*)", section(text, *titles), re.MULTILINE
    ):
        found |= {name.strip(" *"): words for name in names.split(",")}
    return found


def parameters(thing):
    """Its named parameters; those of an error class are Python's own."""
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return []
    every = inspect.signature(thing).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in every if one.kind not in variadic and one.name != "self"]


def nodes_of(function):
    """The nodes of a function's own body, without those of functions inside it."""
    waiting, found = list(ast.parse(textwrap.dedent(inspect.getsource(function))).body[0].body), []
    while waiting:
        node = waiting.pop()
        found.append(node)
        if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def gives_back(function):
    """Whether a function returns or yields anything but None."""
    nodes = nodes_of(function)
    values = [node.value for node in nodes if isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom))]
    return any(value is not None and not (isinstance(value, ast.Constant) and value.value is None) for value in values)


@functools.cache
def raised(function):
    """Our own errors that a function raises, itself or in those of our functions that it calls by name."""
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
    """The object that `name` or `module.name` stands for."""
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
    assert text.split("\n\n")[0].endswith((".", ":", "?")), f"{name}: the summary is a sentence"


@pytest.mark.parametrize("name", NAMES)
def test_it_explains_every_parameter(name):
    missing = set(parameters(NAMES[name])) - set(entries(documentation(NAMES[name]), "Args", "Attributes"))
    assert not missing, f"{name} does not explain {sorted(missing)}"


@pytest.mark.parametrize("name", METHODS)
def test_a_method_mentions_every_parameter(name):
    """A line may be enough for a method; in it, or under Args, each parameter has its name."""
    text = inspect.getdoc(METHODS[name])
    missing = [one for one in parameters(METHODS[name]) if not re.search(rf"\b{one}\b", text)]
    assert not missing, f"{name} does not mention {missing}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_says_what_it_gives_back(name):
    # Of a function without parameters, `names()` say, the summary is what it gives back.
    if gives_back(FUNCTIONS[name]) and parameters(FUNCTIONS[name]):
        assert section(documentation(FUNCTIONS[name]), "Returns", "Yields"), f"{name} gives back what?"


@pytest.mark.parametrize("name", sorted((FUNCTIONS | METHODS).keys() - CHECKED_BEFORE))
def test_it_tells_the_errors_that_it_raises(name):
    function = (FUNCTIONS | METHODS)[name]
    untold = raised(function) - set(entries(inspect.getdoc(function) or "", "Raises"))
    assert not untold, f"{name} raises {sorted(untold)} and does not say when"


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.startswith(WITH_SOURCE) and name not in WITHOUT_SOURCE]
)
def test_it_tells_its_source(name):
    assert re.search(SOURCE, documentation(NAMES[name]) + (inspect.getmodule(NAMES[name]).__doc__ or ""))


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(tuple(UNITS)) and "Error" not in name])
def test_it_tells_its_units(name):
    pattern = next(pattern for start, pattern in UNITS.items() if name.startswith(start))
    assert re.search(pattern, documentation(NAMES[name]))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_tells_the_shapes_of_arrays(name):
    told = entries(documentation(FUNCTIONS[name]), "Args")
    module = inspect.getmodule(FUNCTIONS[name]).__doc__ or ""
    for one in ARRAYS & set(parameters(FUNCTIONS[name])) & set(told):
        words = told[one] + (module if "see the module" in told[one] else "")
        assert re.search(r"shape|\(\w+, \w+|\(n,\)|as for|names? of|a number", words), (
            f"{name}: of what shape is {one}?"
        )


def test_the_checks_find_what_is_missing():
    """They are worth as much as what they see; so let them see a poor docstring, and a name of each kind."""
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
    assert gives_back(section)
    assert not gives_back(kspike_reg.plotting.save)
    assert "decay_initializer" in parameters(kspike_reg.neurons.LIF)
