"""What a device is: joules for each kind of operation, with the source of each price, its quality and what it omits.

A device prices terms, in joules for one operation:

    accumulate           one synaptic event: a spike adds a weight to a neuron that it reaches
    multiply_accumulate  a real value times a weight, added
    addition             a real value added without a weight: a bias, a term of a sum or of a mean
    active_update        a neuron advances by one step and fires, or emits a real value
    idle_update          a spiking neuron advances by one step and stays silent
    spike                a spike sent, however many neurons it reaches
    hop_east_west, hop_north_south   a spike passes to the next tile

An operation without a price does not cost zero: the energy table lists it as unpriced. The number of hops depends on
the placement of the neurons, which the profiler does not know: the table lists hops as uncounted.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kspike_reg.errors import InputError

__all__ = ["GRADES", "TERMS", "Device", "read_device"]

TERMS = (
    "accumulate",
    "multiply_accumulate",
    "addition",
    "active_update",
    "idle_update",
    "spike",
    "hop_east_west",
    "hop_north_south",
)
GRADES = ("measured on silicon", "simulated before silicon", "peak-power division", "derived")


@dataclass(frozen=True)
class Device:
    """A device and its prices.

    Args:
        name: the name that tables show.
        event_driven: whether a silent synapse costs nothing. A device that is not event-driven computes every
            connection at every step as a multiply-accumulate, whether or not its source fires.
        prices: joules by term, see `TERMS`. An event-driven device needs the price of an accumulate, any other device
            that of a multiply-accumulate.
        source: where the figures were published.
        grade: how the figures were obtained, one of `GRADES`.
        omits: what the figures leave out.

    Raises:
        InputError: a price is missing, negative, not finite or of an unknown term, or a text is empty.
    """

    name: str
    event_driven: bool
    prices: Mapping[str, float]
    source: str
    grade: str
    omits: str

    def __post_init__(self) -> None:
        caller = f"device {self.name!r}"
        for name in ("name", "source", "grade", "omits"):
            text = getattr(self, name)
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"{caller}: expected {name} to be a text, received {text!r}")
        if not isinstance(self.event_driven, bool):
            raise InputError(f"{caller}: expected event_driven to be true or false, received {self.event_driven!r}")
        if self.grade not in GRADES:
            raise InputError(f"{caller}: unknown grade {self.grade!r}; choose one of {', '.join(map(repr, GRADES))}")
        if not isinstance(self.prices, Mapping):
            raise InputError(f"{caller}: expected prices to be joules by term, received {self.prices!r}")
        for term, price in self.prices.items():
            _check_price(caller, term, price)
        needed = "accumulate" if self.event_driven else "multiply_accumulate"
        if needed not in self.prices:
            kind = "an event-driven device" if self.event_driven else "a device that is not event-driven"
            raise InputError(f"{caller}: the price of {needed} is missing; {kind} needs it, in joules")
        prices = {term: float(self.prices[term]) for term in TERMS if term in self.prices}
        object.__setattr__(self, "prices", MappingProxyType(prices))

    def to_dict(self) -> dict[str, Any]:
        """A dictionary ready for JSON, which `read_device` reads back."""
        return {field: getattr(self, field) for field in self.__dataclass_fields__} | {"prices": dict(self.prices)}


def _check_price(caller: str, term: str, price: object) -> None:
    """Raise InputError unless the term is known and its price a finite number of joules, zero or more."""
    if term not in TERMS:
        raise InputError(f"{caller}: unknown term {term!r}; choose among {', '.join(TERMS)}")
    number = isinstance(price, (int, float)) and not isinstance(price, bool)
    if not number or not 0 <= price < math.inf:
        raise InputError(f"{caller}: expected a price of {term} in joules, finite, >= 0, received {price!r}")


def read_device(file: str | Path) -> Device:
    """Read a device from a JSON file.

    The file holds one object with the fields of `Device`:

    ```json
    {"name": "chip", "event_driven": true, "prices": {"accumulate": 2e-12, "idle_update": 1e-12},
     "source": "data sheet, 2024", "grade": "measured on silicon", "omits": "memory traffic"}
    ```

    Args:
        file: the name of the file.

    Returns:
        A `Device`, which `EnergyReport.energy` takes.

    Raises:
        InputError: the file cannot be read, is not such an object, or describes no valid device.
    """
    file = Path(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # neither JSON nor UTF-8
        raise InputError(f"{file}: not a JSON file: {error}") from error
    fields = tuple(Device.__dataclass_fields__)
    if not isinstance(content, dict):
        raise InputError(f"{file}: expected one JSON object with the fields {', '.join(fields)}")
    missing = [field for field in fields if field not in content]
    unknown = [field for field in content if field not in fields]
    if missing or unknown:
        problems = [
            f"{kind} {', '.join(map(repr, names))}"
            for kind, names in (("missing", missing), ("unknown", unknown))
            if names
        ]
        raise InputError(f"{file}: fields {' and '.join(problems)}; expected exactly {', '.join(fields)}")
    try:
        return Device(**content)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
