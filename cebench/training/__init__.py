"""The training loop, run directories and checkpoints: what every program that trains shares."""
