"""What the name of a method ends in whose weights were changed after pretraining."""

RESCALED = "-rescaled"
"""Layers scaled until their gradients have one relative size (Krähenbühl et al., ICLR 2016)."""
