"""The examples in the pages work: the tests run Python blocks and the quick start's commands and parse the others.

`make docs` builds the site from the pages. These tests do not need its packages.
"""

import re
import shlex
from configparser import ConfigParser
from pathlib import Path

import pytest

from kspike_reg import cli

ROOT = Path(__file__).parents[1]
PAGES = {
    str(file.relative_to(ROOT)): file.read_text(encoding="utf-8")
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/*.md")
    for file in sorted(ROOT.glob(pattern))
}
# Fenced blocks with their language and options, and indented blocks, which are console input.
BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```|((?:^    \S[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
# Options that make training short. The result need not be accurate.
SHORT = ("--epochs", "1", "--units", "4", "--population", "2", "--depth", "1")


def blocks(page):
    """Pairs of language and text in order; the language of console input is "bash".

    Blocks with a title are files; `test_extending` writes them into a copy of the package.
    """
    found = [
        (language or "bash" * bool(console), title, code or console)
        for language, title, code, console in BLOCK.findall(page)
    ]
    return [(language, text) for language, title, text in found if not title]


def commands(page, program):
    """The arguments of each line of console input that calls `program`."""
    lines = [line for language, text in blocks(page) if language == "bash" for line in text.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [line[1:] for line in words if line[:1] == [program]]


def run(line):
    """Run one command of the quick start; `train` runs with the short options."""
    program, *arguments = shlex.split(line)
    if program == "kspike-reg":
        assert cli.main([*arguments, *(SHORT if arguments[0] == "train" else ())]) == 0, line


@pytest.mark.parametrize(
    "name", [name for name, page in PAGES.items() if any(kind == "python" for kind, _ in blocks(page))]
)
def test_the_examples_run(name, tmp_path, monkeypatch, capsys):
    """For the quick start: Python blocks and commands in order, in one folder. For other pages: Python blocks."""
    if "kspike_reg.bridges" in PAGES[name]:
        pytest.importorskip("nir")
    monkeypatch.chdir(tmp_path)
    names, quick_start = {}, name == "docs/quickstart.md"
    for language, text in blocks(PAGES[name]):
        if language == "python":
            exec(compile(text, name, "exec"), names)
        elif language == "bash" and quick_start:
            for line in text.splitlines():
                run(line)
    if quick_start:
        assert names["stress"].shape == names["spread"].shape == (64, 100, 1)
        assert names["model"].output_shape == (None, None, 3)
        assert Path("stress.csv").read_text().startswith("path,step,stress,stress_spread\n")
        assert "spikes per neuron and step" in capsys.readouterr().out
    if name == "README.md":
        assert names["stress"].shape == (8, 100, 1)


@pytest.mark.parametrize("name", PAGES)
def test_every_command_is_understood(name):
    """Commands in sentences are parsed too, unless they contain a placeholder in capitals."""
    inline = re.findall(r"`kspike-reg ([^`]+)`", PAGES[name])
    inline = [shlex.split(line) for line in inline if not re.search(r"\b[A-Z]{2,}\b|\|", line)]
    for arguments in commands(PAGES[name], "kspike-reg") + inline:
        if "--help" in arguments:
            assert arguments[0] in cli.COMMANDS
            continue
        if arguments[0] == "train" and "--out" not in arguments:
            arguments = [*arguments, "--out", "runs"]  # a sentence may omit the folder
        if "--task" not in arguments and "--data" not in arguments and arguments[0] == "train":
            arguments = [*arguments, "--task", "elasticity"]
        cli.build_parser().parse_args(arguments)


@pytest.mark.parametrize("name", PAGES)
def test_every_target_and_extra_exists(name):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [arguments[0] for arguments in commands(PAGES[name], "make")] + re.findall(r"`make ([a-z]+)`", PAGES[name])
    assert set(named) <= set(targets)
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg")
    extras = re.findall(r"(?:EXTRAS=|kspike_reg\[|'\.\[)([\w,]+)", PAGES[name])
    assert {extra for some in extras for extra in some.split(",")} <= set(settings["options.extras_require"])


def test_the_quick_start_names_every_extra():
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg")
    rows = re.search(r"^\| extra .*\n((?:\|.*\n)+)", PAGES["docs/quickstart.md"], re.MULTILINE)[1].splitlines()
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(settings["options.extras_require"])


@pytest.mark.parametrize("name", PAGES)
def test_links_point_to_files(name):
    """Links to files of the repository. The site has generated pages; the build of the site checks its links."""
    generated = {"commands.md", "benchmarks.md"}
    for target in re.findall(r"\]\(([^)\s#]+)", PAGES[name]):
        if "://" not in target and target not in generated and not target.startswith("api/"):
            assert (ROOT / name).parent.joinpath(target).exists(), f"{name} links to {target}"


def test_the_blocks_are_found():
    """The helper functions find blocks and commands; otherwise the tests above would be vacuous."""
    page = (
        "a\n\n    make demo    # x\n    make test\n\n"
        "```python\nif b:\n    make()\n```\n\n```bash\nkspike-reg evaluate x --data 'a b'\n```\n"
    )
    assert [language for language, _ in blocks(page)] == ["bash", "python", "bash"]
    assert commands(page, "make") == [["demo"], ["test"]]
    assert commands(page, "kspike-reg") == [["evaluate", "x", "--data", "a b"]]
    assert len(commands(PAGES["docs/quickstart.md"], "kspike-reg")) == 4
    assert len(commands(PAGES["docs/results.md"], "kspike-reg")) == 7
    assert sum(language == "python" for page in PAGES.values() for language, _ in blocks(page)) >= 4
