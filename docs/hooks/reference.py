"""One page of the API reference for each public module; mkdocstrings fills it from the docstrings."""

import importlib
import inspect
import re

from mkdocs.structure.files import File, InclusionLevel

import kspike_reg

MODULES = ("kspike_reg", *(f"kspike_reg.{name}" for name in kspike_reg._MODULES))
# Submodules whose names also appear on the page of their package: shared base classes and pure steps, for example.
SUBMODULES = {"kspike_reg.neurons": ("layer", "cell", "lif", "rlif", "slstm", "leaky", "surrogates", "constraints")}


def on_files(files, config):
    """Add the pages to the site."""
    for module in MODULES:
        uri = f"api/{module.removeprefix('kspike_reg.')}.md"
        files.append(File.generated(config, uri, content=page(module), inclusion=InclusionLevel.INCLUDED))
    return files


def on_page_content(content, page, config, files):
    """Remove the dash that mkdocstrings puts before a meaning even where no name or type precedes it."""
    return re.sub(r'(<li class="doc-section-item field-body">\s*)\u2013', r"\1", content)


def page(name):
    """The page of one module: its docstring, its public names, then those of its submodules."""
    module = importlib.import_module(name)
    parts = [f"# {name}", inspect.getdoc(module)]
    parts += entries(module, module.__all__)
    for submodule in SUBMODULES.get(name, ()):
        inner = importlib.import_module(f"{name}.{submodule}")
        parts += entries(inner, [one for one in inner.__all__ if one not in module.__all__])
    return "\n\n".join(filter(None, parts)) + "\n"


def entries(module, names):
    """An entry for each name. An alias of another listed function or class only refers to it."""
    for name in names:
        thing = getattr(module, name)
        defined = getattr(thing, "__name__", name)
        if defined != name and defined in names and getattr(module, defined) is thing:
            yield f"## {name}\n\nAlias of `{defined}`."
        else:
            yield entry(module.__name__, name, thing)


def entry(module, name, thing):
    """One name: a module as a link, a function or a class from its docstring, a mapping by its keys."""
    if inspect.ismodule(thing):
        return f"- [`{thing.__name__}`]({name}.md): {inspect.getdoc(thing).splitlines()[0]}"
    if inspect.isclass(thing) or inspect.isfunction(thing):
        # The signature comes from Python: mkdocstrings reads only the file and would miss inherited options.
        shown = signature(name, thing)
        return f"## {name}\n\n```python\n{shown}\n```\n\n::: {thing.__module__}.{thing.__qualname__}"
    return f"## {name}\n\n`{module}.{name}`: {', '.join(f'`{value}`' for value in thing)}."


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
