"""Whether a pretraining learns, said in words while it still can be stopped."""

import logging

from cebench.training.run_directory import RunDirectory

logger = logging.getLogger("cebench")

BASELINE = "loss_over_mean_colour"
"""Metric: the loss over that of the visible pixels' mean colour; 1 has learned nothing."""
POOL5_ACTIVE = "pool5_active_share"
"""Metric: share of the values of pool5 that are positive."""

LEAST_ACTIVE = 0.05
CHECKS = 10


class HealthCheck:
    """Warns, once each, when pool5 falls silent or the mean colour predicts better.

    Args:
        run: whose metrics are looked at.
        label: name of the method in messages.
        steps: of the run; it is looked at `CHECKS` times.
    """

    def __init__(self, run: RunDirectory, label: str, steps: int) -> None:
        self.run, self.label = run, label
        self.steps = {steps * part // CHECKS for part in range(1, CHECKS + 1)} - {0}
        self.warned: set[str] = set()

    def check(self, step: int) -> None:
        """Look at the newest line of metrics at a step of `steps`."""
        lines = self.run.metrics()
        if step not in self.steps or not lines:
            return
        active, ratio = lines[-1].get(POOL5_ACTIVE, 1.0), lines[-1].get(BASELINE, 0.0)
        if active < LEAST_ACTIVE:
            self._warn(
                POOL5_ACTIVE,
                f"only {active:.1%} of pool5 is positive: its units are dying; lower "
                "learning_rate or encoder_rate, or set batch_norm=encoder-decoder",
            )
        if ratio >= 1:
            self._warn(
                BASELINE,
                f"the loss is {ratio:.2f} times that of the mean colour of the visible pixels: "
                "nothing is learned yet beyond it; train longer or change learning_rate",
            )

    def _warn(self, metric: str, message: str) -> None:
        if metric not in self.warned:
            self.warned.add(metric)
            logger.warning(f"{self.label}: {message}")
