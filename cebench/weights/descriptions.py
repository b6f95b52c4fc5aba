"""What is known about other programs' weights: of one file (TOML), and of the published ones."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from cebench.errors import InputError
from cebench.files import read_utf8

Triple = tuple[float, float, float]


class Description(BaseModel):
    """Content of a mapping file (TOML) for foreign weights; every key has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    channels: Literal["RGB", "BGR"] = "RGB"
    """Order of the colours that the first convolution takes."""
    range: tuple[float, float] | None = None
    """What black and white are before the mean is subtracted, such as [0, 255]."""
    mean: Triple | None = None
    """In that range and in the order of `channels`."""
    std: Triple | None = None
    """What the pixels were divided by; a Caffe `scale` of 1/127.5 is 127.5."""
    side: PositiveInt | None = None
    """Side of the square images in pixels."""
    fully_connected: bool = True
    """Whether fc6 and fc7 of the file are taken; false where they are of other sizes."""
    tensors: dict[str, str] = Field(default_factory=dict)
    """Our name of a tensor -> its name in the file, where they differ."""

    def rgb(self, values: Triple | None) -> Triple | None:
        """`values`, which are in the order of `channels`, as R, G, B."""
        if values is None or self.channels == "RGB":
            return values
        blue, green, red = values
        return red, green, blue


@dataclass(frozen=True)
class Preset:
    """A published file: its network, its row of the tables, and how it sees pixels."""

    architecture: str
    """As in `cebench weights import --as`."""
    method: str
    description: Description


_CAFFE_PIXELS = Description(channels="BGR", range=(0, 255), mean=(104.0, 117.0, 123.0))
_CAFFE_CONVOLUTIONS = _CAFFE_PIXELS.model_copy(update={"fully_connected": False})
_REFERENCE_PIXELS = _CAFFE_PIXELS.model_copy(update={"mean": (104.00699, 116.66877, 122.67892)})

PRESETS = {
    # ce_features.caffemodel; pixels: pathak22/context-encoder issue 17.
    "context-encoder": Preset("caffenet", "context", _CAFFE_CONVOLUTIONS),
    # cdoersch/deepcontext: train.py reads RGB and centres patches; fc6 sees 3 x 3 positions.
    "doersch": Preset("caffenet-nogroups", "relative-context", Description(fully_connected=False)),
    # color_model.caffemodel of xiaolonw/caffe-video_triplet: fc7 has 1024 units.
    "wang-gupta": Preset("caffenet", "motion", _CAFFE_CONVOLUTIONS),
    # KITTI-Net of pulkitag/learning-to-see-by-moving; of its twins the first is taken, by name.
    "agrawal": Preset("caffenet", "egomotion", _CAFFE_CONVOLUTIONS),
    # bvlc_reference_caffenet.caffemodel, with fc6 and fc7.
    "caffenet": Preset("caffenet", "imagenet", _REFERENCE_PIXELS),
    # *_inpaintCenter.t7 of pathak22/context-encoder: the generator, on [-1, 1].
    "inpaint-center": Preset("inpainting-generator", "context-gan", Description()),
}
"""Name for `--like` -> what is known of the file, from papers and released code."""


def read_description(path: Path | None, usual: Description | None = None) -> Description:
    """The description in a TOML file; what it leaves out is as in `usual`."""
    usual = usual or Description()
    if path is None:
        return usual
    try:
        given = Description.model_validate(tomllib.loads(read_utf8(path)))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: no readable TOML file: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(Description.model_fields)
        raise InputError(f"{path}: {where}: {first['msg']}; its keys are {known}") from None
    return usual.model_copy(update={key: getattr(given, key) for key in given.model_fields_set})
