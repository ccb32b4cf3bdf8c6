"""Bridges to other simulators and to chips: trained networks on Nengo, NengoDL and the Loihi emulator, and as NIR.

    trained model - Nengo / NengoDL / Loihi emulator / NIR

Training and evaluation do not import this package. Each public name is imported on its first use, and its optional
dependencies on its first call: pip install 'kspike_reg[nengo]', 'kspike_reg[loihi]' or 'kspike_reg[nir]'.
"""

from typing import TYPE_CHECKING

from kspike_reg.lazy import lazy

if TYPE_CHECKING:
    from kspike_reg.bridges.loihi import loihi_report as loihi_report, quantise as quantise
    from kspike_reg.bridges.nengo.network import to_nengo as to_nengo
    from kspike_reg.bridges.nengo.script import export_nengo as export_nengo
    from kspike_reg.bridges.nir.files import (
        from_nir as from_nir,
        read_nir as read_nir,
        to_nir as to_nir,
        write_nir as write_nir,
    )
    from kspike_reg.bridges.simulation import Simulation as Simulation, simulate as simulate

# Public names by the module that holds them.
_HOMES = {
    "to_nengo": "kspike_reg.bridges.nengo.network",
    "export_nengo": "kspike_reg.bridges.nengo.script",
    "simulate": "kspike_reg.bridges.simulation",
    "Simulation": "kspike_reg.bridges.simulation",
    "to_nir": "kspike_reg.bridges.nir.files",
    "from_nir": "kspike_reg.bridges.nir.files",
    "write_nir": "kspike_reg.bridges.nir.files",
    "read_nir": "kspike_reg.bridges.nir.files",
    "quantise": "kspike_reg.bridges.loihi",
    "loihi_report": "kspike_reg.bridges.loihi",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy(__name__, _HOMES)
