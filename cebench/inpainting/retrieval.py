"""The search for the most similar features: nearest-neighbour inpainting (Table 1, Figure 8)."""

import torch
from torch import Tensor

_QUERIES_AT_ONCE = 1024
_GALLERY_AT_ONCE = 64
"""Rows, few enough that a pass over them stays in a core's cache."""
_CENTRE_ROWS = 256
_VERIFIED_AT_ONCE = 1024


def nearest_neighbours(queries: Tensor, gallery: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
    """The gallery rows nearest to each query, exactly, the lower index first among equals.

    Low-precision products of centred rows give all distances with a proven bound on their errors;
    what could be among the nearest within that bound is compared in float64. The bound holds for
    true float32 products, torch's default on a GPU, and not for TF32.

    Args:
        queries: (Q, D) float32 or uint8.
        gallery: (G, D) likewise, on the same device, G at least `count`.
        count: how many neighbours of each query.

    Returns:
        index: (Q, count) int64 into the gallery, nearest first.
        distance: (Q, count) float64, Euclidean.
    """
    # Any centre is right; one near the rows makes their products, and thus the errors, small.
    sample = gallery[:: -(-len(gallery) // _CENTRE_ROWS)]
    centre = sample.mean(dim=0, dtype=torch.float64).float()
    if torch.equal(sample, sample[:1].expand_as(sample)) and not (gallery != gallery[:1]).any():
        gallery = gallery[:count]  # a network that has died: every row is as near as the first
    found = []
    for chunk in queries.split(_QUERIES_AT_ONCE):
        squared, error = _squared_distances(chunk, gallery, centre)
        bounds = zip(squared, error, strict=True)
        found += [_nearest(q, gallery, *b, count) for q, b in zip(chunk, bounds, strict=True)]
    index, distance = zip(*found, strict=True)
    return torch.stack(index), torch.stack(distance)


def _squared_distances(queries: Tensor, gallery: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """|q - g|^2 and a bound on its error, both (Q, G) float32; one pass over the gallery."""
    rounded, query_norms, query_losses = _rounded(queries, centre)
    products = query_norms.new_empty(len(queries), len(gallery))
    norms, losses = query_norms.new_empty(2, len(gallery))
    start = 0
    for rows in gallery.split(_GALLERY_AT_ONCE):
        part = slice(start, start := start + len(rows))
        factors, norms[part], losses[part] = _rounded(rows, centre)
        products[:, part] = rounded @ factors.T
    lengths, lost = query_norms[:, None], query_losses[:, None]
    squared = lengths.square() + norms.square() - 2 * products
    # What both factors and their product lost by rounding; then three sums of D float32 terms (at
    # most D u (|q| + |g|)^2 together), centring and these lines.
    unit_roundoff = torch.finfo(rounded.dtype).eps / 2
    error = 2 * (lengths * losses + lost * (norms + losses) + unit_roundoff * products.abs())
    fine = (gallery.shape[1] + 16) * torch.finfo(torch.float32).eps
    return squared, error.add_((lengths + norms).square(), alpha=fine)


def _rounded(rows: Tensor, centre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centred rows as factors of a product, their lengths, and the lengths of what that lost."""
    centred = rows - centre
    norms = torch.linalg.vector_norm(centred, dim=1)
    factors = centred.to(_product_precision(rows.device))
    if factors is centred:
        return factors, norms, torch.zeros_like(norms)
    return factors, norms, torch.linalg.vector_norm(centred.sub_(factors), dim=1)


def _product_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where a CPU multiplies it several times faster, with sums in float32."""
    fast = device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.bfloat16 if fast else torch.float32


def _nearest(
    query: Tensor, gallery: Tensor, squared: Tensor, error: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Indices and distances of the nearest rows, from (G,) squared distances and their errors."""
    likely = squared.topk(count, largest=False).indices
    reached = _exact_distances(query, gallery[likely]).amax().square()
    candidates = (squared - error <= reached * (1 + 1e-6)).nonzero().squeeze(1)
    parts = candidates.split(_VERIFIED_AT_ONCE)
    distances, order = torch.cat([_exact_distances(query, gallery[rows]) for rows in parts]).sort(
        stable=True
    )
    return candidates[order[:count]], distances[:count]


def _exact_distances(query: Tensor, rows: Tensor) -> Tensor:
    """Euclidean distances of the R rows to the query, (R,) float64."""
    distances: Tensor = torch.linalg.vector_norm(rows.double() - query.double(), dim=1)
    return distances
