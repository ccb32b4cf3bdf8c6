"""What a network costs: operations counted from its recorded activity, and energies by published figures.

    trained model - spike record - operation counts - energy table

Nothing in the main flow imports this package. Each name is imported when it is first asked for, since some need Keras
and one, `ModelEnergy`, needs KerasSpiking.
"""

from typing import TYPE_CHECKING

from kspike_reg.lazy import lazy

if TYPE_CHECKING:
    from kspike_reg.energy.counts import (
        Cost as Cost,
        Recurrence as Recurrence,
        Synapses as Synapses,
        register_layer as register_layer,
    )
    from kspike_reg.energy.devices import (
        DEVICES as DEVICES,
        Device as Device,
        device_named as device_named,
        read_device as read_device,
    )
    from kspike_reg.energy.keras_spiking.model_energy import ModelEnergy as ModelEnergy
    from kspike_reg.energy.profiler import profile as profile
    from kspike_reg.energy.report import EnergyReport as EnergyReport
    from kspike_reg.energy.table import EnergyTable as EnergyTable

# Public names by the module that holds them.
_HOMES = {
    "profile": "kspike_reg.energy.profiler",
    "EnergyReport": "kspike_reg.energy.report",
    "EnergyTable": "kspike_reg.energy.table",
    "DEVICES": "kspike_reg.energy.devices",
    "Device": "kspike_reg.energy.devices",
    "device_named": "kspike_reg.energy.devices",
    "read_device": "kspike_reg.energy.devices",
    "Cost": "kspike_reg.energy.counts",
    "Recurrence": "kspike_reg.energy.counts",
    "Synapses": "kspike_reg.energy.counts",
    "register_layer": "kspike_reg.energy.counts",
    "ModelEnergy": "kspike_reg.energy.keras_spiking.model_energy",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy(__name__, _HOMES)
