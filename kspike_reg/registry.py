"""Registries: what the user chooses by name, imported when it is first looked up.

The names are there without the modules behind them, so that the command line can list its choices before Keras is
imported.
"""

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

__all__ = ["Registry"]


class Registry(MutableMapping[str, Any]):
    """A dictionary whose values may be written as the place to import them from.

    Args:
        places: by name, "module:attribute", or the value itself.

    Example:

    ```python
    NEURONS = Registry({"lif": "kspike_reg.neurons.lif:LIF"})
    list(NEURONS)  # ["lif"]; nothing is imported
    NEURONS["lif"]  # the class
    ```
    """

    def __init__(self, places: Mapping[str, Any]) -> None:
        self._places = dict(places)

    def __getitem__(self, name: str) -> Any:
        place = self._places[name]
        if not isinstance(place, str):
            return place
        module, _, attribute = place.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def __setitem__(self, name: str, value: Any) -> None:
        self._places[name] = value

    def __delitem__(self, name: str) -> None:
        del self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places  # without the import that Mapping's own would cause

    def __or__(self, other: "Registry") -> "Registry":
        return Registry(self._places | other._places)

    def __repr__(self) -> str:
        return f"Registry({self._places!r})"

    def place_of(self, name: str) -> str | None:
        """Where a value is imported from, "module:attribute"; None for one that was entered itself."""
        place = self._places[name]
        return place if isinstance(place, str) else None
