"""A page of the API reference for each public room; mkdocstrings fills it from the docstrings."""

import importlib
import inspect
import re

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


def on_page_content(content, page, config, files):
    """Take off the dash that mkdocstrings sets between a name or type and its meaning where there is neither."""
    return re.sub(r'(<li class="doc-section-item field-body">\s*)\u2013', r"\1", content)


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
        # The signature as Python knows it: mkdocstrings reads the file alone, and would miss inherited options.
        shown = signature(name, thing)
        return f"## {name}\n\n```python\n{shown}\n```\n\n::: {thing.__module__}.{thing.__qualname__}"
    return f"## {name}\n\n`{room}.{name}`: {', '.join(f'`{value}`' for value in thing)}."


def signature(name, thing, width=80):
    """A call, on one line where it fits, else a line for each parameter."""
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return name
    parameters = list(inspect.signature(thing).parameters.values())
    words = []
    for index, one in enumerate(parameters):
        before = parameters[index - 1].kind if index else None
        if one.kind is one.KEYWORD_ONLY and before not in (one.KEYWORD_ONLY, one.VAR_POSITIONAL):
            words.append("*")
        # Neither types nor the addresses of objects.
        words.append(
            re.sub(r"<(?:function |[\w.]*?)(\w+)(?: object)? at 0x\w+>", r"\1", str(one.replace(annotation=one.empty)))
        )
    line = f"{name}({', '.join(words)})"
    return line if len(line) <= width else "\n".join([f"{name}(", *(f"    {word}," for word in words), ")"])
