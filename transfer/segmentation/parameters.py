"""The learning rates of FCN's parameters."""

from typing import Any

from torch import nn

from cebench.models.parameter_groups import caffe_parameter_groups

from .recipe import SegmentationRecipe


def parameter_groups(network: nn.Module, recipe: SegmentationRecipe) -> list[dict[str, Any]]:
    """Weights and biases with Caffe's multipliers; score layers have the original's always."""
    named = list(network.named_parameters())
    score_layers = [(name, p) for name, p in named if "score_" in name]
    others = [(name, p) for name, p in named if "score_" not in name]
    return [
        *caffe_parameter_groups(
            others,
            recipe.learning_rate,
            recipe.weight_decay,
            bias_multiplier=recipe.bias_multiplier,
            decay_biases=recipe.decay_biases,
        ),
        *caffe_parameter_groups(
            score_layers, recipe.learning_rate, recipe.weight_decay, decay_biases=False
        ),
    ]
