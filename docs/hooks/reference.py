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
    addresses = addresses_of()
    for module in MODULES:
        content = page(module, addresses)
        files.append(File.generated(config, uri_of(module), content=content, inclusion=InclusionLevel.INCLUDED))
    return files


def on_page_content(content, page, config, files):
    """Remove the dash that mkdocstrings puts before a meaning even where no name or type precedes it."""
    return re.sub(r'(<li class="doc-section-item field-body">\s*)\u2013', r"\1", content)


def uri_of(module):
    """The path in the site of the page of a module."""
    return f"api/{module.removeprefix('kspike_reg.')}.md"


def names_on(page_module):
    """Pairs of a module and one of its names, for all entries of a page: first its own, then those of submodules."""
    module = importlib.import_module(page_module)
    pairs = [(module, name) for name in module.__all__]
    for submodule in SUBMODULES.get(page_module, ()):
        inner = importlib.import_module(f"{page_module}.{submodule}")
        pairs += [(inner, name) for name in inner.__all__ if name not in module.__all__]
    return pairs


def addresses_of():
    """The full name and the page under which each function and class is documented.

    Several modules may export it. The page of the package that defines it comes first, and the name in its definition
    comes before an alias.
    """
    found = {}
    for page_module in MODULES:
        for module, name in names_on(page_module):
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                rank = (name != thing.__name__, not thing.__module__.startswith(page_module))
                found.setdefault(thing, []).append((rank, f"{module.__name__}.{name}", uri_of(page_module)))
    return {thing: min(places, key=lambda place: place[0])[1:] for thing, places in found.items()}


def page(page_module, addresses):
    """The page of one module: its docstring, its public names, then those of its submodules."""
    parts = [f"# {page_module}", inspect.getdoc(importlib.import_module(page_module))]
    parts += [entry(module, name, addresses) for module, name in names_on(page_module)]
    return "\n\n".join(filter(None, parts)) + "\n"


def entry(module, name, addresses):
    """One name: a module as a link, a function or a class from its docstring, a constant by its value.

    A function or class has one entry only, because two entries would give it two addresses. Its other names link to
    this entry.
    """
    thing, full = getattr(module, name), f"{module.__name__}.{name}"
    if inspect.ismodule(thing):
        return f"- [`{thing.__name__}`]({name}.md): {inspect.getdoc(thing).splitlines()[0]}"
    if inspect.isclass(thing) or inspect.isfunction(thing):
        first, uri = addresses[thing]
        if first != full:
            return f"## {name}\n\nThe same as [`{first}`]({uri.removeprefix('api/')})."
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
