"""Former names, for tests and profiling/energy_table.py that still import them; to be removed with those imports."""

from kspike_reg.cli.commands.energy import DEFAULT_DEVICES as DEVICES

__all__ = ["CHOICES", "DEVICES"]

CHOICES = {"study": ()}
