"""Packed stores: images of any size in one memory-mapped file."""
