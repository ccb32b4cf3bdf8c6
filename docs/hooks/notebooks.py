"""Each notebook in tutorials/ becomes a page, with its committed outputs."""

import re

import nbformat
from mkdocs.structure.files import File, InclusionLevel
from nbconvert import MarkdownExporter
from places import ROOT

COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # terminal colours


def on_files(files, config):
    """Add the pages and their figures to the site."""
    for file in sorted((ROOT / "tutorials").glob("*.ipynb")):
        notebook = nbformat.read(file, as_version=4)
        folder = f"{file.stem}_files"
        page, resources = MarkdownExporter().from_notebook_node(notebook, {"output_files_dir": folder})
        page = COLOURS.sub("", page) + f"\n\n[Download this notebook]({file.name}){{ .md-button download }}\n"
        for name, picture in resources["outputs"].items():
            add(files, config, f"tutorials/{name}", picture)
        add(files, config, f"tutorials/{file.stem}.md", page)
    return files


def add(files, config, uri, content):
    """Add a generated file to the site."""
    files.append(File.generated(config, uri, content=content, inclusion=InclusionLevel.INCLUDED))
