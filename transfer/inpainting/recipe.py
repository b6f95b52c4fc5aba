"""Which ways to fill the hole are compared: the options of `inpainting`."""

from typing import ClassVar, Literal, get_args

from pydantic import Field, field_validator

from cebench.config import Recipe

Row = Literal[
    "prediction",
    "nn-features",
    "nn-hog",
    "nn-pixels",
    "mean-of-context",
    "published-fill",
    "telea",
    "navier-stokes",
    "biharmonic",
    "patch-match",
]
"""What may be asked for; the two first ones take the names of the weights."""

ALL_ROWS: tuple[Row, ...] = get_args(Row)


class InpaintingRecipe(Recipe):
    """What is compared; nothing is trained here."""

    # The images are part of the data's fingerprint; each row has its numbers from itself alone.
    excluded_from_hash: ClassVar[frozenset[str]] = Recipe.excluded_from_hash | {
        "gallery",
        "test",
        "rows",
        "retrieval_weights",
    }

    gallery: str = "train"
    """Subfolder of --data whose images the nearest-neighbour rows paste from."""
    test: str = "test"
    """Subfolder of --data whose images are filled and scored."""
    rows: tuple[Row, ...] = Field(default=ALL_ROWS, min_length=1)
    """Ways to fill the hole; weights without a decoder leave `prediction` out."""
    gallery_views: Literal["as-is", "mirrored-too"] = "as-is"
    """Whether the mirror image of each gallery image may be pasted too."""
    features_layer: str = ""
    """What `nn-features` compares: `bottleneck` of a generator, `pool5` or `channel-wise` of a
    context encoder, `pool5` of a trunk; empty: the first named."""
    features_distance: Literal["cosine", "l2"] = "cosine"
    """How `nn-features` compares."""
    hog_cells: Literal["dropped", "filled"] = "dropped"
    """Whether `nn-hog` leaves cells that touch the hole out, or fills them with the mean colour."""
    hog_distance: Literal["cosine", "l2"] = "l2"
    """How `nn-hog` compares."""
    retrieval_weights: str = ""
    """Another weights file or run directory whose neighbours samples/retrieval.png shows too."""

    @field_validator("rows")
    @classmethod
    def _rows_once(cls, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        if len(set(rows)) < len(rows):
            raise ValueError("a row is named twice")
        return rows
