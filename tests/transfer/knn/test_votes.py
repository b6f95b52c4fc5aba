import math

import numpy as np
import pytest

from cebench.metrics.average_precision import multilabel_scores
from cebench.transfer.knn.votes import Choice, best_choice, leave_one_out, votes


def world(images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cosines (N, N), and labels (N, 3) of which some are ignored."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(images, 4))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labels = np.where(features[:, :3] > 0.3, 1, -1)
    labels[rng.random(labels.shape) < 0.1] = 0
    return features @ features.T, labels


def written_out(
    cosines: np.ndarray, labels: np.ndarray, neighbours: int, temperature: float
) -> np.ndarray:
    scores = np.zeros((len(cosines), labels.shape[1]))
    for image, row in enumerate(cosines):
        nearest = sorted(range(len(row)), key=lambda n: (-row[n], n))[:neighbours]
        for c in range(labels.shape[1]):
            total = votes_for = 0.0
            for n in nearest:
                if labels[n, c]:
                    total += math.exp(row[n] / temperature)
                    votes_for += math.exp(row[n] / temperature) * (labels[n, c] == 1)
            scores[image, c] = votes_for / total if total else 0
    return scores


def test_three_neighbours_voted_by_hand() -> None:
    """Temperature 1 / ln 2: each 0.1 nearer counts 2^0.1; weights 1, 1/2, 1/4 at steps of 1."""
    cosines = np.array([[1.0, 0.0, -1.0]])
    labels = np.array([[1, -1, 0], [-1, 1, 0], [1, 1, 0]])
    one, three = votes(cosines, labels, [1, 3], temperature=1 / math.log(2))
    np.testing.assert_allclose(one, [[1, 0, 0]])
    np.testing.assert_allclose(three, [[1.25 / 1.75, 0.75 / 1.75, 0]])


@pytest.mark.parametrize("temperature", [0.02, 1.0])
def test_votes_are_those_of_the_written_out_loop(temperature: float) -> None:
    cosines, labels = world(40)
    counts = [1, 5, 39, 100]
    for count, found in zip(counts, votes(cosines, labels, counts, temperature), strict=True):
        np.testing.assert_allclose(found, written_out(cosines, labels, count, temperature))


def test_leave_one_out_hides_each_image_from_itself() -> None:
    cosines, labels = world(30)
    found = leave_one_out(cosines, labels, (3, 50), (0.07,))
    assert set(found) == {Choice(3, 0.07), Choice(30, 0.07)}  # No more are there than 30.
    for count, expected_count in ((3, 3), (30, 29)):
        scores = np.zeros(labels.shape)
        for image in range(30):
            others = np.delete(np.arange(30), image)
            scores[image] = written_out(
                cosines[[image]][:, others], labels[others], expected_count, 0.07
            )[0]
        expected = multilabel_scores(scores, labels).mean_ap_sklearn
        assert found[Choice(count, 0.07)] == pytest.approx(expected)


def test_equally_near_images_vote_in_their_order() -> None:
    labels = np.array([[1], [-1]])
    (found,) = votes(np.array([[0.5, 0.5]]), labels, [1], 0.07)
    assert found.item() == 1


def test_the_best_choice_is_the_first_of_equals() -> None:
    found = {Choice(5, 0.1): 0.2, Choice(10, 0.1): 0.4, Choice(5, 1.0): 0.4}
    assert best_choice(found) == Choice(10, 0.1)
