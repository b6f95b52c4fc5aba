"""Pure functions from arrays to numbers: average precision, detection, segmentation, inpainting."""
