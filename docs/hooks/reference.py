"""A page of the API reference for each public room; mkdocstrings fills it from the docstrings."""

import importlib
import inspect

from mkdocs.structure.files import File, InclusionLevel

import kspike_reg

ROOMS = ("kspike_reg", *(f"kspike_reg.{name}" for name in kspike_reg._MODULES))
# What layers of neurons share, and their pure steps, stand in files of their own.
INSIDE = {"kspike_reg.neurons": ("layer", "cell", "lif", "rlif", "slstm", "leaky", "surrogates", "constraints")}


def on_files(files, config):
    """Add the pages."""
    for room in ROOMS:
        uri = f"api/{room.removeprefix('kspike_reg.')}.md"
        files.append(File.generated(config, uri, content=page(room), inclusion=InclusionLevel.INCLUDED))
    return files


def page(room):
    """One room: what its docstring says, its names, then the names of its files that others build on."""
    module = importlib.import_module(room)
    parts = [f"# {room}", inspect.getdoc(module)]
    parts += [entry(room, name, getattr(module, name)) for name in module.__all__]
    for file in INSIDE.get(room, ()):
        inner = importlib.import_module(f"{room}.{file}")
        new = [name for name in inner.__all__ if name not in module.__all__]
        parts += [entry(inner.__name__, name, getattr(inner, name)) for name in new]
    return "\n\n".join(filter(None, parts)) + "\n"


def entry(room, name, thing):
    """One name: a room as a link, a function or a class from its docstring, a dictionary by its keys."""
    if inspect.ismodule(thing):
        return f"- [`{thing.__name__}`]({name}.md): {inspect.getdoc(thing).splitlines()[0]}"
    if inspect.isclass(thing) or inspect.isfunction(thing):
        path = f"{thing.__module__}.{thing.__qualname__}"
        return f"::: {path}\n    options:\n      heading: {name}\n      toc_label: {name}"
    values = f"one of {', '.join(f'`{value}`' for value in thing)}"
    return f"## {name}\n\n`{room}.{name}`: {values}."
