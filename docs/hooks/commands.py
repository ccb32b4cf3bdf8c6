"""The command line reference, built from the parsers with the formatter that writes `--help`."""

import argparse

from mkdocs.structure.files import File, InclusionLevel

from kspike_reg import cli

HEAD = """# Command line

`kspike-reg` and `python -m kspike_reg` are the same program. Without arguments it lists the commands. For bad input it
prints one line that says how to fix it, and exits with status 2. This page contains the text of
`kspike-reg COMMAND --help`.
"""


def on_files(files, config):
    """Add the page to the site."""
    files.append(File.generated(config, "commands.md", content=page(), inclusion=InclusionLevel.INCLUDED))
    return files


def page():
    """The page: a section for each command."""
    (commands,) = (action for action in cli.build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return "\n\n".join([HEAD, *map(describe, commands.choices.values())]) + "\n"


def describe(parser):
    """The section of one command: its usage and its options by group."""
    formatter = parser.formatter_class(parser.prog, width=78)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    parts = [f"## {parser.prog}", parser.description, f"```text\n{formatter.format_help().strip()}\n```"]
    positional, options, *rest = parser._action_groups
    for group in (positional, *rest, options):
        actions = [action for action in group._group_actions if not isinstance(action, argparse._HelpAction)]
        if actions:
            # Commands share the titles of their groups, so the anchor contains the name of the command.
            title = {"positional arguments": "arguments"}.get(group.title, group.title)
            anchor = "-".join(f"{parser.prog} {title}".replace("--", "").split())
            parts += [f"### {title.capitalize()} {{ #{anchor} data-toc-label='{title.capitalize()}' }}"]
            parts += [table(formatter, actions)]
    return "\n\n".join(parts)


def table(formatter, actions):
    """A table with one line for each option."""
    rows = ["| option | meaning |", "|---|---|"]
    for action in actions:
        written, meaning = formatter._format_action_invocation(action), formatter._expand_help(action)
        if action.choices and not action.metavar:
            written = action.dest if not action.option_strings else written.partition(" {")[0]
        if action.choices and "%(choices)s" not in action.help:
            meaning += f"<br>one of {', '.join(f'`{choice}`' for choice in action.choices)}"
        rows.append(f"| `{written}` | {meaning} |")
    return "\n".join(rows)
