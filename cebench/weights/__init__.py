"""Weights files: the only way from pretraining to transfer, and the readers of other formats."""
