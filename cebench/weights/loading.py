"""Weights into networks: all tensors or none, with a proof of what was loaded."""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cebench.errors import InputError
from cebench.models.backbone import Backbone, position_count
from cebench.models.backbones import OWN_TRUNKS, build_backbone, is_foreign
from cebench.models.caffenet import FC_UNITS, CaffeNetTrunk
from cebench.models.options import Pooling, RandomFrom
from cebench.randomness import torch_seed
from cebench.weights.files import (
    COUNTER,
    FC_TENSORS,
    Preprocessing,
    Weights,
    without_trunk,
)

logger = logging.getLogger("cebench")


@dataclass(frozen=True, kw_only=True)
class LoadProof:
    """Proof of loading: matched and unexpected tensors, and the change of pool5's response.

    A proof exists only where nothing is missing and every shape fits: all else is refused.
    """

    matched: tuple[str, ...]
    unexpected: tuple[str, ...]
    """Tensors of the file that have no place in the trunk."""
    relative_response_change: float
    """||pool5(loaded) - pool5(random)|| / ||pool5(random)|| on one fixed noise image; the random
    trunk is of the same architecture, with initial weights."""

    def __str__(self) -> str:
        return (
            f"{len(self.matched)} tensors matched, 0 missing, 0 of another shape, "
            f"{len(self.unexpected)} unexpected; "
            "pool5 differs from that of random weights by "
            f"{self.relative_response_change:.2f} of its norm"
        )


def load_trunk(trunk: CaffeNetTrunk, weights: Weights) -> LoadProof:
    """Put `weights` into a CaffeNet trunk and prove it; InputError below full coverage of it."""
    check_is_caffenet(weights)
    backbone, proof = load_backbone(weights)
    trunk.load_state_dict(backbone.trunk.state_dict())
    return proof


def check_is_caffenet(weights: Weights) -> None:
    """InputError if `weights` are another library's network."""
    if is_foreign(weights.sidecar.architecture):
        raise InputError(
            f"{weights.name}: holds a {weights.sidecar.architecture}, expected a CaffeNet trunk"
        )


def load_backbone(weights: Weights, pooling: Pooling = "network") -> tuple[Backbone, LoadProof]:
    """The backbone that `weights` were made for, filled with them, and the proof of it.

    pooling: which tokens a transformer makes its features of.

    InputError as for `filled_backbone`, and where pool5 of noise is zero or not finite.
    """
    backbone, random = filled_backbone(weights, pooling)
    own = backbone.trunk.state_dict()
    return backbone, LoadProof(
        matched=tuple(own),
        unexpected=tuple(name for name in weights.tensors if name not in {*own, *FC_TENSORS}),
        relative_response_change=_response_change(
            backbone.trunk, random, weights.sidecar.preprocessing, weights.name
        ),
    )


def filled_backbone(weights: Weights, pooling: Pooling = "network") -> tuple[Backbone, nn.Module]:
    """The backbone that `weights` were made for, filled with them, and its trunk as it was before.

    InputError below full coverage of its trunk, where it has no tokens for `pooling`, or for the
    whole network of a pretraining.
    """
    architecture, preprocessing = weights.sidecar.architecture, weights.sidecar.preprocessing
    if not is_foreign(architecture) and architecture not in OWN_TRUNKS:
        method = without_trunk(weights.sidecar)
        advice = (
            f"{method} has none"
            if method
            else "pretraining keeps it in weights.safetensors beside model.safetensors"
        )
        raise InputError(f"{weights.name}: holds a {architecture}, expected a trunk; {advice}")
    positions = position_count(weights.tensors)
    backbone = build_backbone(
        architecture, side=preprocessing.side, pooling=pooling, positions=positions
    )
    # The same initial weights: only what the file brings tells them apart.
    random = copy.deepcopy(backbone.trunk)
    _load_all(backbone.trunk, weights)
    return backbone, random


def has_fc6_and_fc7(weights: Weights) -> bool:
    """Whether fc6 and fc7, or a part of them, came with `weights`."""
    return bool(set(FC_TENSORS) & set(weights.tensors))


def take_fc6_and_fc7(
    layers: Sequence[nn.Linear | nn.Conv2d], random_from: RandomFrom, weights: Weights
) -> None:
    """Fill fc6 and fc7 from `weights` with `random_from=drop7`, else say that they are not used.

    layers: the two of a network, or none where it has no such layers: then they cannot be taken.
    """
    if random_from == "drop7":
        if not layers:
            raise InputError(
                f"{weights.name}: a {weights.sidecar.architecture} has no fc6 and fc7 that "
                "random_from=drop7 could take; leave random_from out"
            )
        fc6, fc7 = layers
        load_fc6_and_fc7(fc6, fc7, weights)
    elif has_fc6_and_fc7(weights):
        logger.info("fc6 and fc7 of the weights are not used: random_from=pool5 draws them anew")


def check_fc6_and_fc7(backbone: Backbone, weights: Weights) -> None:
    """InputError where `random_from=drop7` cannot take fc6 and fc7 of the backbone's `weights`."""
    widths = (backbone.features, FC_UNITS) if backbone.fully_connected else ()
    layers = [nn.Linear(width, FC_UNITS, device="meta") for width in widths]
    take_fc6_and_fc7(layers, "drop7", weights)


def load_fc6_and_fc7(
    fc6: nn.Linear | nn.Conv2d, fc7: nn.Linear | nn.Conv2d, weights: Weights
) -> None:
    """Fill fc6 (4096, F) and fc7 (4096, 4096) with those that came with `weights`.

    F is 9216 for CaffeNet. A convolution takes the same numbers in the same order, fc6 as
    (4096, 256, 6, 6). InputError where they did not come, or are of another shape.
    """
    layers = {"fc6": fc6, "fc7": fc7}
    parameters = {
        f"{name}.{kind}": parameter
        for name, layer in layers.items()
        for kind, parameter in layer.named_parameters()
    }
    for name, parameter in parameters.items():
        if name not in weights.tensors:
            raise InputError(
                f"{weights.name}: has no {name}; random_from=drop7 needs weights with fc6 and fc7, "
                "use random_from=pool5 to draw them"
            )
        found = tuple(weights.tensors[name].shape)
        needed = tuple((parameter.flatten(1) if parameter.dim() > 1 else parameter).shape)
        if found != needed:
            raise InputError(
                f"{weights.name}: {name} is {found} where {needed} is needed; use "
                "random_from=pool5 to draw it"
            )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights.tensors[name].view_as(parameter))


def load_module(module: nn.Module, weights: Weights, architecture: str) -> None:
    """Put every tensor of `weights` into `module`, which must be exactly of `architecture`."""
    if weights.sidecar.architecture != architecture:
        raise InputError(
            f"{weights.name}: holds a {weights.sidecar.architecture}, expected a {architecture}; "
            "pretraining keeps it in model.safetensors beside weights.safetensors"
        )
    _load_all(module, weights)


def _load_all(module: nn.Module, weights: Weights) -> None:
    """Fill every tensor of `module`; InputError when one is missing or of another shape."""
    own, theirs = module.state_dict(), weights.tensors
    check_covers(theirs, own, weights.name, weights.sidecar.architecture)
    module.load_state_dict({name: theirs[name] for name in own})


def check_covers(
    theirs: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    name: str,
    architecture: str,
    others: Sequence[str] = (),
) -> None:
    """InputError where `theirs` lacks a tensor of a network, or has one in another shape.

    Args:
        theirs: tensors by the network's names.
        own: all tensors of the network.
        name: of the file.
        architecture: of the network.
        others: names in the file of what has no place in the network.
    """
    missing = [tensor for tensor in own if tensor not in theirs]
    shared = [tensor for tensor in own if tensor in theirs]
    mismatched = [tensor for tensor in shared if theirs[tensor].shape != own[tensor].shape]
    if not missing and not mismatched:
        return
    # A counter fits any network.
    total = [tensor for tensor in own if not tensor.endswith(COUNTER)]
    parts = [f"missing {first_of(missing)}"] if missing else []
    parts += [
        f"{tensor} is {tuple(theirs[tensor].shape)} where {tuple(own[tensor].shape)} is needed"
        for tensor in mismatched[:3]
    ]
    parts += [f"without a place there {first_of(others)}"] if others else []
    fitting = len({*total} - {*missing, *mismatched})
    raise InputError(
        f"{name}: does not fit {architecture}: {fitting} of {len(total)} tensors fit; "
        f"{'; '.join(parts)}"
    )


def first_of(names: Sequence[str], shown: int = 3) -> str:
    """The first `shown` names and how many there are beside them."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _response_change(
    loaded: nn.Module, random: nn.Module, preprocessing: Preprocessing, name: str
) -> float:
    """How far the loaded trunk's pool5 is from the random trunk's on noise (`LoadProof`)."""
    generator = torch.Generator().manual_seed(torch_seed(0, "load-proof"))
    shape = (1, 3, preprocessing.side, preprocessing.side)
    noise = preprocessing(torch.randint(0, 256, shape, generator=generator))
    with torch.no_grad():
        # float64: the square of a large float32 is infinite.
        pool5, reference = (network.eval()(noise).double() for network in (loaded, random))
    if not pool5.isfinite().all() or not pool5.any():
        raise InputError(
            f"{name}: its pool5 is {'zero' if pool5.isfinite().all() else 'not finite'} on noise; "
            "these weights compute nothing: compare the file with its source"
        )
    return float((pool5 - reference).norm() / reference.norm())
