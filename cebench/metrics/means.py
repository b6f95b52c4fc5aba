"""The mean over the classes for which a number exists."""

import numpy as np


def mean_of_defined(values: np.ndarray) -> float:
    """Mean of the values that are not nan; nan if there are none.

    A class that a set does not contain has no average precision and no IoU: it is left out of the
    mean, neither 0 nor 1.
    """
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
