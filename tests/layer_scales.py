"""How unlike the layers of a trunk are in scale."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cebench.models.caffenet import CaffeNetTrunk
from cebench.models.data_dependent import gradient_ratios


def spread_of_rates(trunk: Mapping[str, Tensor]) -> float:
    """Largest over least ratio of a layer's gradient to its weights, on smooth noise."""
    network = CaffeNetTrunk()
    network.load_state_dict(dict(trunk))
    generator = torch.Generator().manual_seed(5)
    coarse = 255 * torch.rand(4, 3, 5, 5, generator=generator) - 110
    images = torch.nn.functional.interpolate(coarse, (115, 115), mode="bilinear")
    ratios = gradient_ratios(network.eval(), images)
    return float(ratios.max() / ratios.min())
