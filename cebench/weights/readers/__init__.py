"""Readers of other programs' weights files; none of them executes anything from a file."""
