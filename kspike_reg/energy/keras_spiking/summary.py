"""`ModelEnergy`'s table of layers as text."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kspike_reg.errors import InputError

if TYPE_CHECKING:
    from kspike_reg.energy.keras_spiking.model_energy import ModelEnergy

__all__ = ["summary_string"]

ESTIMATE = "estimates from mean activity and published constants per operation; moving data and idling are left out"
NOT_SPIKING = "some layers are not spiking as they are: they emit real values or feed them back, priced here as "
PRICED_AS = {"events": "a synaptic operation at every step", "hertz": "spikes at a rate of that many Hz"}


def summary_string(
    energy: "ModelEnergy",
    columns: Sequence[str],
    timesteps_per_inference: int,
    dt: float | None,
    line_length: int,
    print_warnings: bool,
) -> str:
    """Headers, a line for each layer of the model, the totals, the notes.

    Args:
        energy: a `ModelEnergy`.
        columns, timesteps_per_inference, dt, line_length, print_warnings: see `ModelEnergy.summary_string`.

    Raises:
        InputError: an unknown column or device.
    """
    columns = [(kind, device.strip().lower()) for kind, _, device in (column.partition(" ") for column in columns)]
    for kind, _ in columns:
        if kind not in _COLUMNS:
            raise InputError(f"ModelEnergy: unknown column {kind!r}; choose from {', '.join(_COLUMNS)}")
    options = {"timesteps_per_inference": timesteps_per_inference, "dt": dt}
    rows = [[_COLUMNS[kind][0].format(device) for kind, device in columns]]
    rows += [
        [_COLUMNS[kind][1](energy, layer, device, options) for kind, device in columns] for layer in energy.layer_stats
    ]
    widths = _widths(rows, line_length)
    head, *body = [
        "|".join(_cell(text, *rest) for text, *rest in zip(row, widths, columns, strict=True)) for row in rows
    ]
    lines = [head.rstrip(), "|".join("-" * width for width in widths), *body]

    priced = [device for kind, device in columns if kind == "energy"]
    if priced:
        lines.append("=" * (sum(widths) + len(widths) - 1))
    for device in priced:
        total = energy.total_energy(device, **options)
        lines.append(f"Total energy per inference [Joules/inf] ({device}): {total:.2e}")
    notes = [ESTIMATE] if priced else []
    if any(energy.devices[device]["spiking"] for device in priced) and not all(
        statistics["spiking"] for statistics in energy.layer_stats.values()
    ):
        notes.append(NOT_SPIKING + PRICED_AS[energy.activity])
    if print_warnings:
        lines += [textwrap.fill(f"* {note}", line_length, subsequent_indent="  ") for note in notes]
    return "\n".join(lines)


def _output_shape(energy, layer, _device, _options):
    shapes = {str(call.output_shapes) for call in energy.node_stats if call.layer is layer is call.member}
    if not shapes:  # a nested model, counted by its layers
        return str(layer.output_shape)
    return shapes.pop() if len(shapes) == 1 else "multiple"


def _rate(energy, layer, _device, options):
    return f"{energy.rate(layer, options['dt']):.2g}"


def _joules(parts):
    def text(energy, layer, device, options):
        return f"{sum(energy.layer_energy(layer, device, **options)[parts]):.2g}"

    return text


# Header and content of each column.
_COLUMNS = {
    "name": ("Layer (type)", lambda energy, layer, *_: f"{layer.name} ({type(layer).__name__})"),
    "output_shape": ("Output shape", _output_shape),
    "params": ("Param #", lambda energy, layer, *_: str(layer.count_params())),
    "rate": ("Rate [Hz]", _rate),
    "connections": ("Conn #", lambda energy, layer, *_: str(energy.layer_stats[layer]["connections"])),
    "neurons": ("Neuron #", lambda energy, layer, *_: str(energy.layer_stats[layer]["neurons"])),
    "energy": ("J/inf ({})", _joules(slice(None))),
    "synop_energy": ("Synop J/inf ({})", _joules(slice(0, 1))),
    "neuron_energy": ("Neuron J/inf ({})", _joules(slice(1, 2))),
}


def _widths(rows, line_length):
    """The widest text of each column; the widest columns give way until a line fits."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + len(widths) - 1 > line_length and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    return widths


def _cell(text, width, column):
    return text[:width].ljust(width) if column[0] == "name" else text[:width].rjust(width)
