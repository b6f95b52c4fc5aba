"""Networks of timm without their classifier, for images of any size where they allow it."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from cebench.errors import InputError, similar_name
from cebench.models.backbone import (
    Backbone,
    Interpolation,
    LibraryCrop,
    Pixels,
    count_features,
    resnet_layers,
)
from cebench.models.options import Pooling

_ANY_SIZE: tuple[dict[str, bool], ...] = (
    {"dynamic_img_size": True, "dynamic_img_pad": True},
    {"dynamic_img_size": True},
    {"strict_img_size": False},
    {},
)
"""What makes a network take other sizes than its own: a ViT's, a Swin's, none needed."""


@dataclass(frozen=True, kw_only=True)
class TimmBackbone(Backbone):
    """A network of timm without its classifier."""

    strides: tuple[int, ...] = ()
    """Strides of the maps that `forward_intermediates` returns; empty if it has no such method."""

    def feature_maps(self, images: Tensor, strides: Collection[int] = ()) -> dict[int, Tensor]:
        """The last of timm's intermediate maps at each stride; a ViT's are its patches, normed."""
        if not self.strides:
            return super().feature_maps(images, strides)
        # Of equal strides, a ViT's blocks, the last one stays.
        last = {stride: index for index, stride in enumerate(self.strides)}
        wanted = {s: index for s, index in last.items() if not strides or s in strides}
        indices = [*wanted.values()]
        try:
            maps = self._intermediates(images, indices, norm=True, intermediates_only=True)
        except AssertionError:  # Hiera's are not normed; another reason comes once more.
            maps = self._intermediates(images, indices, norm=False, intermediates_only=True)
        return dict(zip(wanted, maps, strict=True))

    def layer_maps(
        self, images: Tensor, names: Collection[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """pool5 and the maps (N, C, h, w) of the layers `names` on the way to it."""
        if self.rectified or not names:
            return super().layer_maps(images, names)
        network: Any = self.trunk
        wanted = [index for index, name in enumerate(self.layers) if name in names]
        last, maps = self._intermediates(images, wanted)
        found = dict(zip((n for n in self.layers if n in names), maps, strict=True))
        return network.forward_head(last), found

    def _intermediates(self, images: Tensor, indices: list[int], **options: bool) -> Any:
        network: Any = self.trunk
        early = options.get("intermediates_only", False)
        return network.forward_intermediates(
            images, indices=indices, output_fmt="NCHW", stop_early=early, **options
        )


class TokenPooling(nn.Module):
    """Tokens (N, L, D), the class token first, to features: (N, D), or (N, 2 D) of both kinds.

    Args:
        pooling: which tokens.
        prefix: number of tokens before those of the patches: class token and registers.
    """

    def __init__(self, pooling: Literal["token", "mean", "both"], prefix: int) -> None:
        super().__init__()
        self.pooling, self.prefix = pooling, prefix

    def forward(self, tokens: Tensor) -> Tensor:
        first, mean = tokens[:, 0], tokens[:, self.prefix :].mean(1)
        if self.pooling == "both":
            return torch.cat([first, mean], dim=1)
        return first if self.pooling == "token" else mean


def timm_backbone(
    architecture: str,
    name: str,
    side: int | None,
    pooling: Pooling,
    positions: int | None = None,
) -> TimmBackbone:
    """The network `name` of timm with weights from torch's generator, see `build_backbone`.

    Raises:
        InputError: timm is absent or has no such network or tag, or it has no tokens to pool.
    """
    try:
        import timm
    except ImportError:
        raise InputError(f"{architecture}: needs timm: pip install 'cebench[timm]'") from None
    _check_name(timm, architecture, name)
    network = _for_any_size(timm, name)
    usual = network.default_cfg
    own_side = int(usual.get("input_size", (3, 224, 224))[-1])
    if other_side := _side_of_positions(network, positions):
        network, own_side = _for_any_size(timm, name, img_size=other_side), other_side
    side = side or own_side
    if pooling != "network":
        _pool_tokens(network, architecture, pooling)
    resnet = resnet_layers(network)
    strides = _strides(network)
    return TimmBackbone(
        architecture=architecture,
        trunk=network,
        side=side,
        features=count_features(architecture, network, side),
        layers=resnet or _stages(strides),
        fully_connected=(),
        pixels=_pixels(usual, side),
        rectified=bool(resnet),
        last_stage="layer4" if resnet else "",
        strides=strides,
    )


def _check_name(timm: Any, architecture: str, name: str) -> None:
    """InputError where timm has no network `name`, or knows no weights of the tag behind it."""
    network, _, tag = name.partition(".")
    if not timm.is_model(network):
        similar = similar_name(network, timm.list_models())
        raise InputError(f"{architecture}: timm has no classifier of this name{similar}")
    try:
        timm.models.get_pretrained_cfg(name)
    except RuntimeError:
        raise InputError(
            f"{architecture}: timm has no weights tagged {tag!r} of {network}; name one of "
            f"timm.list_pretrained({network + '*'!r}), or leave the tag out"
        ) from None


def _pixels(usual: Mapping[str, Any], side: int) -> Pixels:
    """How timm's evaluation (`timm.data.create_transform`) makes images of `side` pixels."""
    crop, mode = None, usual.get("crop_mode") or "center"
    kind: Any = usual.get("interpolation")
    if kind in get_args(Interpolation) and mode in ("center", "squash") and usual.get("crop_pct"):
        resized = math.floor(side / usual["crop_pct"])
        crop = LibraryCrop(resized=resized, interpolation=kind, squash=mode == "squash")
    return Pixels(mean=tuple(usual["mean"]), std=tuple(usual["std"]), crop=crop)


def _side_of_positions(network: Any, positions: int | None) -> int | None:
    """Side of the square images that have so many positions; None if it is the network's own.

    None too where the positions are not one for each patch, as Hiera's.
    """
    embedding, patches = (getattr(network, name, None) for name in ("pos_embed", "patch_embed"))
    count = getattr(patches, "num_patches", None)
    if positions is None or embedding is None or count is None or embedding.shape[1] == positions:
        return None
    grid = math.isqrt(positions - (embedding.shape[1] - count))
    return int(grid * network.patch_embed.patch_size[0])


def _for_any_size(timm: Any, name: str, **size: int) -> Any:
    """The network, able to take other sizes than its own if its class has an option for that."""
    state = torch.get_rng_state()
    for options in _ANY_SIZE:
        torch.set_rng_state(state)
        try:
            return timm.create_model(
                name, pretrained=False, num_classes=0, **options, **size
            ).eval()
        except TypeError:
            if not options:
                raise
    raise AssertionError("unreachable")


def _strides(network: Any) -> tuple[int, ...]:
    if not hasattr(network, "forward_intermediates"):
        return ()
    return tuple(info["reduction"] for info in network.feature_info)


def _stages(strides: tuple[int, ...]) -> dict[str, str]:
    """Names of the intermediate maps: block1 .. where all have one stride, else stage1 .."""
    kind = "block" if len(set(strides)) == 1 else "stage"
    return {f"{kind}{n}": "" for n in range(1, len(strides) + 1)}


def _pool_tokens(
    network: Any, architecture: str, pooling: Literal["token", "mean", "both"]
) -> None:
    """Let the network's features be those tokens, normed; its tensors keep their names.

    InputError where its head does not take all tokens: it has none, or two heads take one each.
    """
    if hasattr(network, "head_dist"):
        raise InputError(
            f"{architecture}: its features are the mean of two tokens, those of class and "
            f"distillation; pooling={pooling} would need a head of its own: leave it out"
        )
    prefix = getattr(network, "num_prefix_tokens", None)
    own = getattr(network, "global_pool", None)
    if prefix is None or own not in ("token", "avg") or (prefix == 0 and pooling != "mean"):
        raise InputError(
            f"{architecture}: has no {'class token' if prefix == 0 else 'tokens'} that "
            f"pooling={pooling} could take; leave it out"
        )
    network.global_pool = ""  # The head is given all tokens.
    network.head = TokenPooling(pooling, prefix)
