"""The commands of `kspike-reg` by name. A new command is one file in this folder and one line here."""

from kspike_reg.registry import Registry

__all__ = ["COMMANDS"]

COMMANDS = Registry(
    {
        "train": "kspike_reg.cli.commands.train:COMMAND",
        "reproduce": "kspike_reg.cli.commands.reproduce:COMMAND",
        "evaluate": "kspike_reg.cli.commands.evaluate:COMMAND",
        "predict": "kspike_reg.cli.commands.predict:COMMAND",
        "energy": "kspike_reg.cli.commands.energy:COMMAND",
        "export": "kspike_reg.cli.commands.export:COMMAND",
    }
)
