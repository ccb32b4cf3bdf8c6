"""Population coding: the mean over a group of neurons is an output, their spread a sign of its uncertainty."""

from typing import Any

import keras
from keras import ops

from kspike_reg.errors import InputError, require_whole
from kspike_reg.typing import Tensor

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

    def __init__(self, outputs: int = 1, **kwargs: Any) -> None:
        require_whole("PopulationMean", outputs=outputs)
        super().__init__(**kwargs)
        self.outputs = int(outputs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        neurons = input_shape[-1]
        if neurons % self.outputs:
            raise InputError(
                f"PopulationMean: {neurons} neurons do not divide into {self.outputs} equal groups; "
                f"make the population a multiple of the outputs, {self.outputs * -(-neurons // self.outputs)} say"
            )

    def call(self, inputs: Tensor) -> Tensor:
        return ops.mean(self._groups(inputs), axis=-1)

    def spread(self, inputs: Tensor) -> Tensor:
        """Population standard deviation of each group of `inputs`, shapes as in a call; the tensor may be symbolic."""
        return ops.std(self._groups(inputs), axis=-1)

    def _groups(self, inputs):
        """The neurons by the output that they are averaged into, shape (..., outputs, neurons / outputs)."""
        if self.outputs == 1:  # without the copy that stacking makes
            return ops.expand_dims(inputs, axis=-2)
        return ops.stack(ops.split(inputs, self.outputs, axis=-1), axis=-2)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.outputs)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"outputs": self.outputs}
