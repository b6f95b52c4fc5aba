"""torchvision's vision transformers without their classifier, for images of any size."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import VisionTransformer

from cebench.models.backbone import Backbone, Pixels, count_features, module_outputs


class AnySizeViT(VisionTransformer):  # type: ignore[misc]
    """torchvision's network, which by itself takes images of one size alone.

    Images are padded with zeros, to the right and below, to whole patches, and the position
    embedding is resized to their grid, bicubically with antialias, as timm does it.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to the class token (N, D), normed."""
        tokens = self.encoder.ln(self.encoder.layers(self.encoder.dropout(self.embedded(images))))
        features: Tensor = self.heads(tokens[:, 0])
        return features

    def embedded(self, images: Tensor) -> Tensor:
        """Patches and the class token with their positions, (N, 1 + h * w, D)."""
        patch = self.patch_size
        padded = F.pad(images, (0, -images.shape[-1] % patch, 0, -images.shape[-2] % patch))
        patches = self.conv_proj(padded)
        tokens = torch.cat(
            [self.class_token.expand(len(images), -1, -1), patches.flatten(2).transpose(1, 2)],
            dim=1,
        )
        return tokens + self._positions(*patches.shape[-2:])

    def grid(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns of patches."""
        rows, columns = (-(-side // self.patch_size) for side in images.shape[-2:])
        return rows, columns

    def _positions(self, rows: int, columns: int) -> Tensor:
        own: Tensor = self.encoder.pos_embedding
        side = self.image_size // self.patch_size
        if (rows, columns) == (side, side):
            return own
        of_class, of_patches = own[:, :1], own[:, 1:]
        map_ = of_patches.transpose(1, 2).reshape(1, -1, side, side).float()
        resized = F.interpolate(map_, (rows, columns), mode="bicubic", antialias=True)
        return torch.cat([of_class, resized.flatten(2).transpose(1, 2).to(own.dtype)], dim=1)


@dataclass(frozen=True, kw_only=True)
class TorchvisionViTBackbone(Backbone):
    """A vision transformer of torchvision without its classifier."""

    trunk: AnySizeViT

    def feature_maps(self, images: Tensor, strides: Collection[int] = ()) -> dict[int, Tensor]:
        """The patches' values behind the last normalisation, at the stride of a patch's side."""
        _, found = module_outputs(self.trunk, images, {self.trunk.patch_size: "encoder.ln"})
        return {stride: self._as_map(tokens, images) for stride, tokens in found.items()}

    def layer_maps(
        self, images: Tensor, names: Collection[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """pool5 and the patches (N, D, h, w) behind the blocks `names`."""
        pool5, found = super().layer_maps(images, names)
        return pool5, {name: self._as_map(tokens, images) for name, tokens in found.items()}

    def _as_map(self, tokens: Tensor, images: Tensor) -> Tensor:
        map_: Tensor = tokens[:, 1:].transpose(1, 2).unflatten(2, self.trunk.grid(images))
        return map_


def vit_backbone(
    architecture: str, network: Any, side: int, pixels: Pixels
) -> TorchvisionViTBackbone:
    """The backbone of a VisionTransformer without classifier; its tensors keep their names."""
    # Its constructor's arguments are known to torchvision alone.
    network.__class__ = AnySizeViT
    blocks = [name for name, _ in network.encoder.layers.named_children()]
    return TorchvisionViTBackbone(
        architecture=architecture,
        trunk=network,
        side=side,
        features=count_features(architecture, network, side),
        layers={f"block{n}": f"encoder.layers.{name}" for n, name in enumerate(blocks, start=1)},
        fully_connected=(),
        pixels=pixels,
        rectified=False,
    )
