"""What the scripts in profiling/ measured, as tables: one section for each record in profiling/results."""

import ast
import json
import re

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
    """Head the files of bare tables: those on energy by what their record calls them."""
    folder, _, name = page.file.src_uri.rpartition("/")
    if folder == "profiling/results/speed":
        pictures = "\n\n".join(f"![{mode}]({mode}.png)" for mode in ("training", "inference"))
        return f"# Speed at all sizes\n\n{markdown}\n\n{pictures}\n"
    if folder != "profiling/results/energy":
        return markdown
    name = name.removesuffix(".md")
    tables = json.loads((ROOT / folder / "energy.json").read_text(encoding="utf-8"))["tables"]
    picture = f"\n\n![{name}]({name}.png)" if (ROOT / folder / f"{name}.png").exists() else ""
    # What stands before a colon is short enough for the navigation.
    title, _, rest = tables[name]["title"].partition(":")
    return f"# {title}\n\n{rest.strip()}{picture}\n\n{markdown}"


def on_page_content(content, page, config, files):
    """Mark numbers with an exponent in tables, so that no line is broken at its sign."""
    return re.sub(r"<td([^>]*)>([\d.]+e-\d+)</td>", r'<td\1 class="number">\2</td>', content)


def page():
    """All records."""
    return "\n\n".join([HEAD, *map(section, sorted((ROOT / "profiling" / "results").glob("*.json")))]) + "\n"


def section(file):
    """One record: what its script says of itself, its tables, what it was measured on."""
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
    about = {**told(record, "settings"), **told(record, "machine"), **told(record, "versions")}
    parts += [", ".join(f"{name} {value}" for name, value in about.items())]
    return "\n\n".join(parts)


def rows_of(record):
    """The lists of dictionaries in a record."""
    return [value for value in record.values() if isinstance(value, list) and value and isinstance(value[0], dict)]


def table(rows):
    """Rows of single values; those that hold rows by name, of layers say, are laid out below one another."""
    return markdown(pd.DataFrame([line for row in rows for line in lines_of(row)], dtype=object))


def lines_of(row):
    """One row, or one for each of the rows inside it; lists, the repetitions of a measurement, stay in the record."""
    single = {name: value for name, value in row.items() if not isinstance(value, (list, dict))}
    inner = [
        value for value in row.values() if isinstance(value, dict) and all(isinstance(v, dict) for v in value.values())
    ]
    return [{**single, "of": name, **line} for value in inner for name, line in value.items()] or [single]


def told(record, name):
    """A part of the record, or of its `environment`."""
    found = record.get(name, record.get("environment", {}).get(name, {}))
    return found if isinstance(found, dict) else {name: found}
