"""The command line for test_kills.py: `python killed_study.py COMMAND ...`.

It prints a line when the command itself begins, after the imports, and knows a study of two small cases.
"""

from kspike_reg.cli import COMMANDS, main
from kspike_reg.experiments import STUDIES
from kspike_reg.experiments.studies.study import Study

STUDY = Study(
    title="A small study",
    cases=lambda finished, quick: {"lif": {"kind": "lif", "seed": 3}, "rlif": {"kind": "rlif", "seed": 4}},
    papers={
        "task": "elasticity", "timesteps": 3, "training_paths": 90, "batch_size": 40, "units": 5, "population": 3,
        "depth": 1, "epochs": 12,
    },
    modern={},
    quick={},
    figures=lambda cases: {},
)  # fmt: skip


def announced(run):
    """The action of a command, which says that it begins."""

    def announce(options):
        print("begins", flush=True)
        run(options)

    return announce


if __name__ == "__main__":
    STUDIES["small"] = STUDY
    for name, command in tuple(COMMANDS.items()):
        COMMANDS[name] = command._replace(run=announced(command.run))
    raise SystemExit(main())
