"""Roads off the GPU: trained networks on Nengo, NengoDL and the Loihi emulator, and as NIR.

    trained model - Nengo / NengoDL / Loihi emulator / NIR

Nothing in the main flow imports this room. Each name is imported when it is first asked for, and the packages behind
it only when it is called: pip install 'kspike_reg[nengo]', 'kspike_reg[loihi]' or 'kspike_reg[nir]'.
"""

from kspike_reg.lazy import lazy

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
