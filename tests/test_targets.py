"""Labels and numbers as matrices."""

import numpy as np
import pytest

from zoo.errors import DataError
from zoo.explore.targets import fit_targets, is_numeric


def test_labels_become_centered_columns_of_classes() -> None:
    found = fit_targets(np.array(["b", "a", "b", "b"]))
    assert found.classes == ("a", "b")
    assert found.mean.tolist() == [0.25, 0.75]
    assert (found.matrix + found.mean).tolist() == [[0, 1], [1, 0], [0, 1], [0, 1]]
    assert found.encode(np.array(["a", "?"])).tolist() == [[0.75, -0.75], [-0.25, -0.75]]


def test_numbers_get_mean_zero_and_variance_one_and_whole_numbers_are_classes() -> None:
    y = np.array([[1.0, 100], [2, 300], [3, 800]])
    found = fit_targets(y)
    assert found.matrix.mean(0) == pytest.approx([0, 0])
    assert found.matrix.std(0) == pytest.approx([1, 1])
    assert found.matrix * found.scale + found.mean == pytest.approx(y)
    assert found.encode(y) == pytest.approx(found.matrix)
    assert not is_numeric(np.array([1, 2]))


def test_a_judgement_is_accuracy_or_q2() -> None:
    labels = fit_targets(np.array(["a", "b", "b"]))
    truth = labels.encode(np.array(["a", "b"]))
    assert labels.judge(truth, truth) == 1
    assert labels.judge(truth[::-1], truth) == 0
    assert labels.judge(np.zeros((2, 2)), truth) == 0.5  # the most frequent class
    numbers = fit_targets(np.array([1.0, 2, 3]))
    held = numbers.encode(np.array([1.0, 4]))
    assert numbers.judge(held, held) == 1
    assert numbers.judge(np.zeros((2, 1)), held) == 0


def test_what_does_not_vary_is_refused() -> None:
    with pytest.raises(DataError, match="all 3 points have the label 'a'"):
        fit_targets(np.array(["a", "a", "a"]))
    with pytest.raises(DataError, match="a target has the same value at all points"):
        fit_targets(np.array([[1.0, 0.3], [2, 0.3], [3, 0.1 + 0.2]]))
