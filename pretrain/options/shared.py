"""The options of every method that trains."""

from typing import ClassVar

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from cebench.config import TrainingRecipe
from cebench.training.options import ComputingOptions


class PretrainingRecipe(TrainingRecipe, ComputingOptions):
    """The options of every method that trains."""

    # Like the device, these two change a number by rounding alone.
    without_effect: ClassVar[frozenset[str]] = TrainingRecipe.without_effect | {
        "compile",
        "cuda_graphs",
    }
    excluded_from_hash: ClassVar[frozenset[str]] = (
        TrainingRecipe.excluded_from_hash | without_effect
    )

    batch_size: PositiveInt
    """Images per step, those of all processes together."""
    learning_rate: PositiveFloat
    """At the first step."""
    voc_image_set: str = "train"
    """Image set taken from a VOC year folder given as --data."""
    held_out_images: NonNegativeInt = 6
    """Images kept out of training, for the pictures in samples/; at most half of all."""
    samples_at: tuple[PositiveInt, ...] = ()
    """Numbers of finished steps at which samples/ gets a picture; the last step always does."""
    weights_at: tuple[PositiveInt, ...] = ()
    """Numbers of finished steps at which the trunk is kept, as weights-STEP.safetensors; of the
    inpainting model, which has none, the generator, as model-STEP.safetensors."""

    @model_validator(mode="after")
    def _named_steps_are_taken(self) -> "PretrainingRecipe":
        for name in ("weights_at", "samples_at"):
            beyond = [step for step in getattr(self, name) if step > self.steps]
            if beyond:
                raise ValueError(
                    f"{name}={beyond[0]} lies beyond the last step, {self.steps}; --set {name}=[]"
                )
        return self


class TrunkRecipe(PretrainingRecipe):
    """The options of every method that trains a trunk."""

    rescale: bool = False
    """Whether the layers of the trunk that is written are scaled until all would learn at one rate
    (Krähenbühl et al. 2016)."""
