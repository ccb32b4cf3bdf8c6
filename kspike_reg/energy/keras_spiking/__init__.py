"""KerasSpiking's `ModelEnergy` for Keras 3 and for the neurons of this package."""
