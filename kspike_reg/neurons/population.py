"""Population voting: the mean over groups of neurons is the answer, their spread a sign of how sure it is."""

import keras
from keras import ops

from kspike_reg.errors import InputError, require_whole

__all__ = ["PopulationMean"]


@keras.saving.register_keras_serializable("kspike_reg")
class PopulationMean(keras.layers.Layer):
    """Mean over `outputs` equal groups of neighbouring neurons (paper, eq. 12).

    Args:
        outputs: number of groups, > 0; the number of neurons must be a multiple of it.

    Input shape: (..., neurons). Output shape: (..., outputs); output k is the mean of the k-th group.

    Raises:
        InputError: the neurons do not divide into that many groups.
    """

    def __init__(self, outputs=1, **kwargs):
        require_whole("PopulationMean", outputs=outputs)
        super().__init__(**kwargs)
        self.outputs = int(outputs)
        self.supports_masking = True

    def build(self, input_shape):
        neurons = input_shape[-1]
        if neurons % self.outputs:
            raise InputError(
                f"PopulationMean: {neurons} neurons do not divide into {self.outputs} equal groups; "
                f"make the population a multiple of the outputs, {self.outputs * -(-neurons // self.outputs)} say"
            )

    def call(self, inputs):
        return ops.mean(self._groups(inputs), axis=-1)

    def spread(self, inputs):
        """Population standard deviation of each group of `inputs`, shapes as in a call; the tensor may be symbolic."""
        return ops.std(self._groups(inputs), axis=-1)

    def _groups(self, inputs):
        """The neurons by the output that they vote on, shape (..., outputs, neurons / outputs)."""
        if self.outputs == 1:  # without the copy that stacking makes
            return ops.expand_dims(inputs, axis=-2)
        return ops.stack(ops.split(inputs, self.outputs, axis=-1), axis=-2)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.outputs)

    def get_config(self):
        return super().get_config() | {"outputs": self.outputs}
