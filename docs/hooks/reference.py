"""One page of the API reference for each public module; mkdocstrings fills it from the docstrings."""

import importlib
import inspect
import re
from collections.abc import Iterable

from mkdocs.structure.files import File, InclusionLevel

import kspike_reg

MODULES = ("kspike_reg", *(f"kspike_reg.{name}" for name in kspike_reg._MODULES))
# Submodules whose names also appear on the page of their package: shared base classes and pure steps, for example.
SUBMODULES = {
    "kspike_reg.network": ("graph", "execute", "probes"),
    "kspike_reg.neurons": ("layer", "cell", "lif", "rlif", "slstm", "leaky", "surrogates", "constraints", "engines"),
}


def on_files(files, config):
    """Add the pages to the site."""
    documented = {}
    for module in MODULES:
        content = page(module, documented)
        files.append(
            File.generated(config, f"api/{uri_of(module)}", content=content, inclusion=InclusionLevel.INCLUDED)
        )
    return files


def on_page_content(content, page, config, files):
    """Remove the dash that mkdocstrings puts before a meaning even where no name or type precedes it."""
    return re.sub(r'(<li class="doc-section-item field-body">\s*)\u2013', r"\1", content)


def uri_of(module):
    """The file name of the page of a module."""
    return f"{module.removeprefix('kspike_reg.')}.md"


def page(name, documented):
    """The page of one module: its docstring, its public names, then those of its submodules.

    Args:
        name: the name of the module.
        documented: the functions and classes that have an entry so far; this page adds its own.
    """
    module = importlib.import_module(name)
    parts = [f"# {name}", inspect.getdoc(module)]
    parts += [entry(module, one, uri_of(name), documented) for one in aliases_last(module, module.__all__)]
    for submodule in SUBMODULES.get(name, ()):
        inner = importlib.import_module(f"{name}.{submodule}")
        new = [one for one in inner.__all__ if one not in module.__all__]
        parts += [entry(inner, one, uri_of(name), documented) for one in aliases_last(inner, new)]
    return "\n\n".join(filter(None, parts)) + "\n"


def aliases_last(module, names):
    """The names in their order, but those that differ from the name in the definition come last."""
    return sorted(names, key=lambda name: getattr(getattr(module, name), "__name__", name).rpartition(".")[2] != name)


def entry(module, name, uri, documented):
    """One name: a module as a link, a function or a class from its docstring, a constant by its value.

    Each function or class is documented once, because two entries would give it two addresses. Its other names link to
    the first one.
    """
    thing = getattr(module, name)
    if inspect.ismodule(thing):
        return f"- [`{thing.__name__}`]({name}.md): {inspect.getdoc(thing).splitlines()[0]}"
    full = f"{module.__name__}.{name}"
    if inspect.isclass(thing) or inspect.isfunction(thing):
        first, place = documented.setdefault(thing, (full, uri))
        if first != full:
            return f"## {name}\n\nThe same as [`{first}`]({place})."
        # The signature comes from Python: mkdocstrings reads only the file and would miss inherited options.
        shown = signature(name, thing)
        return f"## {name}\n\n```python\n{shown}\n```\n\n::: {thing.__module__}.{thing.__qualname__}"
    values = thing if isinstance(thing, Iterable) and not isinstance(thing, str) else [thing]
    return f"## {name}\n\n`{full}`: {', '.join(f'`{value}`' for value in values)}."


def signature(name, thing, width=80):
    """A call without types, on one line if it fits, otherwise with one line for each parameter."""
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return name
    parameters = list(inspect.signature(thing).parameters.values())
    words = []
    for index, one in enumerate(parameters):
        before = parameters[index - 1].kind if index else None
        if one.kind is one.KEYWORD_ONLY and before not in (one.KEYWORD_ONLY, one.VAR_POSITIONAL):
            words.append("*")
        # Annotations and the addresses of objects are left out.
        words.append(
            re.sub(r"<(?:function |[\w.]*?)(\w+)(?: object)? at 0x\w+>", r"\1", str(one.replace(annotation=one.empty)))
        )
    line = f"{name}({', '.join(words)})"
    return line if len(line) <= width else "\n".join([f"{name}(", *(f"    {word}," for word in words), ")"])
