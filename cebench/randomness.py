"""Counter-based randomness: every random number is a function of (seed, stream, counters).

No generator lives longer than one batch, so a checkpoint needs no generator state and the number
of workers changes nothing. Philox is built for this: distinct keys give independent streams.
"""

import hashlib

import numpy as np


def _key(seed: int, stream: str, counters: tuple[int, ...]) -> bytes:
    return hashlib.sha256(repr((seed, stream, counters)).encode()).digest()


def numpy_generator(seed: int, stream: str, *counters: int) -> np.random.Generator:
    """The generator that belongs to (seed, stream, counters), e.g. (0, "crop", step)."""
    key = int.from_bytes(_key(seed, stream, counters)[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def torch_seed(seed: int, stream: str, *counters: int) -> int:
    """A 63-bit seed for `torch.manual_seed` that belongs to (seed, stream, counters)."""
    return int.from_bytes(_key(seed, stream, counters)[16:24], "little") >> 1


class EpochOrder:
    """Endless shuffled epochs over `size` samples, addressed by position.

    Position p lies in epoch p // size; each epoch is a permutation of its own, so every sample is
    seen once per epoch whatever the batch size.
    """

    def __init__(self, size: int, seed: int, stream: str = "order") -> None:
        """size: number of samples, >= 1."""
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size, self.seed, self.stream = size, seed, stream
        # One attribute, replaced whole: batches are made ahead by several threads.
        self._newest = (-1, np.empty(0, dtype=np.int64))

    def indices(self, start: int, count: int) -> np.ndarray:
        """Sample numbers, int64 (count,), at positions start .. start + count - 1."""
        parts = []
        while count > 0:
            epoch, offset = divmod(start, self.size)
            parts.append(self._permutation(epoch)[offset : offset + count])
            start, count = start + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def _permutation(self, wanted: int) -> np.ndarray:
        epoch, permutation = self._newest
        if epoch != wanted:
            permutation = numpy_generator(self.seed, self.stream, wanted).permutation(self.size)
            self._newest = (wanted, permutation)
        return permutation
