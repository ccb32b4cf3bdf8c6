"""`kspike-reg energy`."""

import argparse

from kspike_reg.cli.command import Command
from kspike_reg.cli.data import read_inputs, refuse_inputs
from kspike_reg.cli.display import print_table, warnings_in_one_line
from kspike_reg.cli.options import add_columns, add_model, add_outside
from kspike_reg.errors import InputError

__all__ = ["COMMAND", "DEFAULT_DEVICES"]

# What an energy table compares unless the user chooses: Loihi by two sources, a GPU by two precisions, 45 nm CMOS.
DEFAULT_DEVICES = ("loihi", "loihi_davies2018", "v100_fp16", "v100_fp32", "cmos45_fp32")


def describe(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    from kspike_reg.energy.devices import DEVICES

    add_model(command)
    text = "input paths, .csv or .npz; the number of spikes depends on them"
    command.add_argument("--data", required=True, metavar="FILE", help=text)
    add_columns(command, "inputs")
    add_outside(command)
    add = command.add_argument
    text = "devices to compute the energy for, among %(choices)s"
    add("--device", nargs="+", choices=tuple(DEVICES), default=DEFAULT_DEVICES, metavar="NAME", help=text)
    add("--device-file", nargs="+", default=(), metavar="FILE", help="further devices of your own, JSON")
    add("--bits", type=int, default=32, help="width of a number in memory")
    text = "write the tables (JSON, CSV, Markdown, LaTeX) and a bar chart to this folder"
    add("--out", metavar="FOLDER", help=text)


def run(options: argparse.Namespace) -> None:
    """Print the operations and energies of a model, and write them on request."""
    from kspike_reg import evaluation, files
    from kspike_reg.energy import device_named, profile, read_device
    from kspike_reg.energy.frames import tables_of
    from kspike_reg.energy.output import files_of_report, write_report
    from kspike_reg.network import saving

    devices = [*map(device_named, options.device), *map(read_device, options.device_file)]
    names = [device.name for device in devices]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InputError(f"two devices are called {repeated[0]!r}; tables identify devices by name, so rename one")
    model = saving.load(options.model)
    paths = read_inputs(model, options.data, options)
    with warnings_in_one_line(options.name):
        evaluation.check_paths(model, paths, options.outside)
        report = profile(model, paths, bits=options.bits)
        if options.out:  # before anything is printed, but not for data that are refused
            files.prepare_folder(options.out)
    tables = tables_of(report, devices)
    if options.out:  # before the tables are printed, to a reader who may have ended
        outputs = files_of_report(tables, options.out)
        refuse_inputs(outputs, [options.data, *options.device_file, saving.file_of(options.model)])
        write_report(report, devices, options.out)
    for title, table in tables.values():
        print_table(title, table)
    if options.out:
        print(f"wrote energy.json, the tables as .csv, .md and .tex, and layers.png in {options.out}")


COMMAND = Command("Count the operations of a network on your own paths, and compute their energy.", describe, run)
