"""What the scripts in profiling/ measured, as tables: one section for each record in profiling/results."""

import ast
import json

import pandas as pd
from mkdocs.structure.files import File, InclusionLevel
from places import ROOT

from kspike_reg.tables import markdown

HEAD = """# Measurements

Measured by the scripts in `profiling/`, each with the machine and the versions that it ran on; the same command makes a
table again on yours.
"""


def on_files(files, config):
    """Add the page."""
    files.append(File.generated(config, "benchmarks.md", content=page(), inclusion=InclusionLevel.INCLUDED))
    return files


def on_page_markdown(markdown, page, config, files):
    """Head the tables on energy, which are files of bare tables, by what their record calls them."""
    folder, _, name = page.file.src_uri.rpartition("/")
    if folder != "profiling/results/energy":
        return markdown
    name = name.removesuffix(".md")
    tables = json.loads((ROOT / folder / "energy.json").read_text(encoding="utf-8"))["tables"]
    picture = f"\n\n![{name}]({name}.png)" if (ROOT / folder / f"{name}.png").exists() else ""
    # What stands before a colon is short enough for the navigation.
    title, _, rest = tables[name]["title"].partition(":")
    return f"# {title}\n\n{rest.strip()}{picture}\n\n{markdown}"


def page():
    """All records."""
    return "\n\n".join([HEAD, *map(section, sorted((ROOT / "profiling" / "results").glob("*.json")))]) + "\n"


def section(file):
    """One record: what its script says of itself, the table, what it was measured on."""
    record = json.loads(file.read_text(encoding="utf-8"))
    script = ROOT / "profiling" / f"{file.stem}.py"
    words = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
    parts = [f"## {file.stem.replace('_', ' ').capitalize()}", words, table(rows_of(record))]
    about = {**told(record, "settings"), **told(record, "machine"), **told(record, "versions")}
    parts += [", ".join(f"{name} {value}" for name, value in about.items())]
    return "\n\n".join(parts)


def rows_of(record):
    """The one list of dictionaries in a record."""
    (rows,) = (value for value in record.values() if isinstance(value, list) and isinstance(value[0], dict))
    return rows


def table(rows):
    """Rows of single values; lists, the repetitions of a measurement, are left to the record."""
    rows = [{name: value for name, value in row.items() if not isinstance(value, (list, dict))} for row in rows]
    return markdown(pd.DataFrame(rows, dtype=object))


def told(record, name):
    """A part of the record, or of its `environment`."""
    found = record.get(name, record.get("environment", {}).get(name, {}))
    return found if isinstance(found, dict) else {name: found}
