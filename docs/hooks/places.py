"""Every file of the repository has one place in the site, and links find it there.

The files of docs/ are at the site's root, the README is its home, notebooks are pages, and every other file keeps the
path that it has in the repository. So pages link to one another as files of the repository do, and are read there and
here alike.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).parents[2]
# What the site takes from outside docs/.
TAKEN = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "LICENSE",
    "models/*/card.md",
    "profiling/results/**/*.*",
    "tutorials/*.ipynb",
)
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def on_files(files, config):
    """Take in the files from outside docs/."""
    for pattern in TAKEN:
        for file in sorted(ROOT.glob(pattern)):
            uri = uri_of(file.relative_to(ROOT).as_posix())
            files.append(File.generated(config, uri, abs_src_path=str(file), inclusion=InclusionLevel.INCLUDED))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links between files of the repository into links between pages; what stands in code stays as it is."""
    uri = page.file.src_uri
    parts = FENCE.split(markdown)
    parts[::2] = [LINK.sub(lambda link: link[1] + linked(link[2], uri) + link[3], part) for part in parts[::2]]
    return "".join(parts)


def linked(target, uri):
    """A link as the file behind the page `uri` has it, for that page."""
    path, mark, anchor = target.partition("#")
    if not path or re.match(r"\w+:", path):
        return target
    path = posixpath.normpath(posixpath.join(posixpath.dirname(path_of(uri)), path))
    place = uri_of(path).replace(".ipynb", ".md")
    return posixpath.relpath(place, posixpath.dirname(uri) or ".") + mark + anchor


def uri_of(path):
    """The place in the site of a file, by its path in the repository."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def path_of(uri):
    """The path in the repository of the file behind a place in the site; of a made page, where it would stand."""
    if uri == "index.md":
        return "README.md"
    paths = (f"docs/{uri}", uri, uri.replace(".md", ".ipynb"))
    return next((path for path in paths if (ROOT / path).exists()), paths[0])
