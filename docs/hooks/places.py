"""Each file of the repository has one path in the site, and links are translated to it.

The files of docs/ are at the root of the site. The README is its home page. Notebooks become pages. Every other file
keeps its path in the repository. Pages can therefore link to files of the repository, and the links work in both
places.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).parents[2]
# Files outside docs/ that belong to the site.
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
    """Add the files outside docs/ to the site."""
    for pattern in TAKEN:
        for file in sorted(ROOT.glob(pattern)):
            uri = uri_of(file.relative_to(ROOT).as_posix())
            files.append(File.generated(config, uri, abs_src_path=str(file), inclusion=InclusionLevel.INCLUDED))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links between files of the repository into links between pages. Code blocks do not change."""
    uri = page.file.src_uri
    parts = FENCE.split(markdown)
    parts[::2] = [LINK.sub(lambda link: link[1] + linked(link[2], uri) + link[3], part) for part in parts[::2]]
    return "".join(parts)


def linked(target, uri):
    """The link of a source file, translated for its page `uri`."""
    path, mark, anchor = target.partition("#")
    if not path or re.match(r"\w+:", path):
        return target
    path = posixpath.normpath(posixpath.join(posixpath.dirname(path_of(uri)), path))
    place = uri_of(path).replace(".ipynb", ".md")
    return posixpath.relpath(place, posixpath.dirname(uri) or ".") + mark + anchor


def uri_of(path):
    """The path in the site of a file, from its path in the repository."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def path_of(uri):
    """The path in the repository of a file of the site. For a generated page, the path that it would have."""
    if uri == "index.md":
        return "README.md"
    paths = (f"docs/{uri}", uri, uri.replace(".md", ".ipynb"))
    return next((path for path in paths if (ROOT / path).exists()), paths[0])
