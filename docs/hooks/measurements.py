"""The measurements of the scripts in profiling/ as tables: one section for each record in profiling/results."""

import ast
import json
import re

import pandas as pd
from mkdocs.structure.files import File, InclusionLevel
from places import ROOT

from kspike_reg.tables import markdown

HEAD = """# Measurements

The scripts in `profiling/` made these measurements. Each section states the machine and the versions. The same script
repeats a measurement on your machine.
"""


def on_files(files, config):
    """Add the page to the site."""
    files.append(File.generated(config, "benchmarks.md", content=page(), inclusion=InclusionLevel.INCLUDED))
    return files


def on_page_markdown(markdown, page, config, files):
    """Add headings to files that hold only tables; the titles of energy tables come from their record."""
    folder, _, name = page.file.src_uri.rpartition("/")
    if folder == "profiling/results/speed":
        pictures = "\n\n".join(f"![{mode}]({mode}.png)" for mode in ("training", "inference"))
        return f"# Speed at all sizes\n\n{markdown}\n\n{pictures}\n"
    if folder != "profiling/results/energy":
        return markdown
    name = name.removesuffix(".md")
    tables = json.loads((ROOT / folder / "energy.json").read_text(encoding="utf-8"))["tables"]
    picture = f"\n\n![{name}]({name}.png)" if (ROOT / folder / f"{name}.png").exists() else ""
    # The part before the colon is short enough for the navigation.
    title, _, rest = tables[name]["title"].partition(":")
    return f"# {title}\n\n{rest.strip()}{picture}\n\n{markdown}"


def on_page_content(content, page, config, files):
    """Mark numbers with an exponent in tables, so that no line breaks at the sign."""
    return re.sub(r"<td([^>]*)>([\d.]+e-\d+)</td>", r'<td\1 class="number">\2</td>', content)


def page():
    """The page: a section for each record."""
    return "\n\n".join([HEAD, *map(section, sorted((ROOT / "profiling" / "results").glob("*.json")))]) + "\n"


def section(file):
    """The section of one record: the docstring of its script, its tables, its settings, machine and versions."""
    record = json.loads(file.read_text(encoding="utf-8"))
    scripts = (ROOT / "profiling" / f"{file.stem}{ending}.py" for ending in ("", "_table"))
    script = next(script for script in scripts if script.exists())
    parts = [
        f"## {file.stem.replace('_', ' ').capitalize()}",
        ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))),
    ]
    written = file.with_suffix(".md")
    parts += (
        [re.sub("^#+", "###", written.read_text(encoding="utf-8"), flags=re.MULTILINE)]
        if written.exists()
        else map(table, rows_of(record))
    )
    about = {**part(record, "settings"), **part(record, "machine"), **part(record, "versions")}
    parts += [", ".join(f"{name} {value}" for name, value in about.items())]
    return "\n\n".join(parts)


def rows_of(record):
    """The lists of dictionaries in a record."""
    return [value for value in record.values() if isinstance(value, list) and value and isinstance(value[0], dict)]


def table(rows):
    """Rows of single values as Markdown. A row that contains rows by name, such as layers, becomes several lines."""
    return markdown(pd.DataFrame([line for row in rows for line in lines_of(row)], dtype=object))


def lines_of(row):
    """One line, or one for each row inside the row. Lists (repetitions of a measurement) stay in the record."""
    single = {name: value for name, value in row.items() if not isinstance(value, (list, dict))}
    inner = [
        value for value in row.values() if isinstance(value, dict) and all(isinstance(v, dict) for v in value.values())
    ]
    return [{**single, "of": name, **line} for value in inner for name, line in value.items()] or [single]


def part(record, name):
    """A part of the record or of its `environment`, as a dictionary."""
    found = record.get(name, record.get("environment", {}).get(name, {}))
    return found if isinstance(found, dict) else {name: found}
