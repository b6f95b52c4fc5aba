import numpy as np
import pytest

from cebench.randomness import EpochOrder, numpy_generator, torch_seed


def test_the_same_counters_give_the_same_numbers_and_others_do_not() -> None:
    numbers = numpy_generator(3, "crop", 7).random(4)
    assert np.array_equal(numbers, numpy_generator(3, "crop", 7).random(4))
    for other in (
        numpy_generator(4, "crop", 7),
        numpy_generator(3, "flip", 7),
        numpy_generator(3, "crop", 8),
        numpy_generator(3, "crop", 7, 0),
    ):
        assert not np.array_equal(numbers, other.random(4))


def test_torch_seeds_are_63_bit_and_differ_by_step() -> None:
    seeds = {torch_seed(0, "step", step) for step in range(100)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_an_epoch_holds_every_sample_once_whatever_the_batch_size() -> None:
    for batch in (1, 3, 7, 20):
        order = EpochOrder(10, seed=1)
        taken = np.concatenate([order.indices(start, batch) for start in range(0, 60, batch)])[:60]
        for epoch in taken.reshape(6, 10):
            assert sorted(epoch) == list(range(10))
        assert np.array_equal(taken, EpochOrder(10, seed=1).indices(0, 60))


def test_epochs_are_shuffled_differently() -> None:
    first, second = EpochOrder(50, seed=0).indices(0, 100).reshape(2, 50)
    assert not np.array_equal(first, second)


def test_an_empty_set_has_no_order() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        EpochOrder(0, seed=0)
