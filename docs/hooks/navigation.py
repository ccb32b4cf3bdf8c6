"""The navigation: mkdocs.yml sets its order, and a pattern there includes all matching pages.

A new tutorial, study or trained network therefore appears in the navigation as soon as it is in its folder.
"""

from fnmatch import fnmatchcase

from places import uri_of


def on_files(files, config):
    """Replace patterns by pages. This hook runs after those that add pages."""
    uris = sorted(file.src_uri for file in files.documentation_pages())
    named = {uri_of(entry) for entry in strings(config.nav)}

    def expand(entry):
        """The entries that replace one entry; a section without pages is left out."""
        if isinstance(entry, dict):
            ((title, inner),) = entry.items()
            if isinstance(inner, str) and "*" not in inner:
                return [{title: uri_of(inner)}]
            pages = [page for one in ([inner] if isinstance(inner, str) else inner) for page in expand(one)]
            return [{title: pages}] if pages else []
        if "*" not in entry:
            return [uri_of(entry)]
        pattern = uri_of(entry).replace(".ipynb", ".md")
        return [entry_of(uri) for uri in uris if fits(uri, pattern) and uri not in named]

    config.nav = [page for entry in config.nav for page in expand(entry)]
    return files


def entry_of(uri):
    """A page under its own title; reports and cards share titles, so they get the name of their folder."""
    folder, _, name = uri.rpartition("/")
    return {folder.rpartition("/")[2]: uri} if name in ("card.md", "report.md") else uri


def fits(uri, pattern):
    """Whether a path matches a pattern. An asterisk matches within one name and does not span folders."""
    parts, patterns = uri.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def strings(entries):
    """All pages and patterns of a navigation, nested ones included."""
    for entry in entries:
        inner = next(iter(entry.values())) if isinstance(entry, dict) else entry
        yield from [inner] if isinstance(inner, str) else strings(inner)
