"""Two views of one image that differ by a known shift and turn.

The synthetic form of egomotion (Agrawal et al. 2015, section 3.1, where the images are digits).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def shifted_and_turned(windows: Tensor, shifts: Tensor, turns: Tensor, side: int) -> Tensor:
    """The view of each window that a camera has after it was shifted and turned, bilinearly.

    Pixel p of a view, counted from its middle, shows the window's pixel
        middle + shift + (cos t, -sin t; sin t, cos t) p
    with x to the right and y down: a turn t > 0 is clockwise of the camera.

    Args:
        windows: (N, 3, W, W) float32.
        shifts: (N, 2) x and y in pixels.
        turns: (N,) radians.
        side: of the views.

    Returns:
        (N, 3, side, side).
    """
    scale, half = side / windows.shape[-1], windows.shape[-1] / 2
    cosine, sine = turns.cos() * scale, turns.sin() * scale
    across = torch.stack((cosine, -sine, shifts[:, 0] / half), dim=1)
    down = torch.stack((sine, cosine, shifts[:, 1] / half), dim=1)
    matrices = torch.stack((across, down), dim=1).to(windows.dtype)
    shape = [len(windows), windows.shape[1], side, side]
    grid = F.affine_grid(matrices, shape, align_corners=False)
    return F.grid_sample(windows, grid, padding_mode="border", align_corners=False)
