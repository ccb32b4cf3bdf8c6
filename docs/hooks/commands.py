"""The reference of the command line, from its parsers, by the formatter that writes `--help`."""

import argparse

from mkdocs.structure.files import File, InclusionLevel

from kspike_reg import cli

HEAD = """# Command line

`kspike-reg` and `python -m kspike_reg` are the same; without arguments they show what one can do. Bad input ends in one
line that says how to mend it, and exit status 2. What this page lists is what `kspike-reg COMMAND --help` tells.
"""


def on_files(files, config):
    """Add the page."""
    files.append(File.generated(config, "commands.md", content=page(), inclusion=InclusionLevel.INCLUDED))
    return files


def page():
    """All commands."""
    (commands,) = (action for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction))
    return "\n\n".join([HEAD, *map(describe, commands.choices.values())]) + "\n"


def describe(parser):
    """One command: its usage, and its options by group."""
    formatter = parser.formatter_class(parser.prog, width=78)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    parts = [f"## {parser.prog}", parser.description, f"```text\n{formatter.format_help().strip()}\n```"]
    positional, options, *rest = parser._action_groups
    for group in (positional, *rest, options):
        actions = [action for action in group._group_actions if not isinstance(action, argparse._HelpAction)]
        if actions:
            # Commands share the titles of groups, so the name of the command makes the anchor.
            title = {"positional arguments": "arguments"}.get(group.title, group.title)
            anchor = "-".join(f"{parser.prog} {title}".replace("--", "").split())
            parts += [f"### {title.capitalize()} {{ #{anchor} data-toc-label='{title.capitalize()}' }}"]
            parts += [table(formatter, actions)]
    return "\n\n".join(parts)


def table(formatter, actions):
    """A line for each option."""
    rows = ["| option | meaning |", "|---|---|"]
    for action in actions:
        written, meaning = formatter._format_action_invocation(action), formatter._expand_help(action)
        if action.choices and not action.metavar:
            written = action.dest if not action.option_strings else written.partition(" {")[0]
        if action.choices:
            meaning += f"<br>one of {', '.join(f'`{choice}`' for choice in action.choices)}"
        rows.append(f"| `{written}` | {meaning} |")
    return "\n".join(rows)
