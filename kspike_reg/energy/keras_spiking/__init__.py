"""KerasSpiking's `ModelEnergy` for Keras 3 and for the neurons of this package.

The name is imported when it is first asked for, since it needs KerasSpiking.
"""

from kspike_reg.lazy import lazy

# The public name by the module that holds it.
_HOMES = {"ModelEnergy": "kspike_reg.energy.keras_spiking.model_energy"}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy(__name__, _HOMES)
