"""If these fail, a build that loses texts would be reported as one that finds them, or the other way round."""

import numpy as np

from benchmarks.builds.scores import missed, recall
from benchmarks.builds.workload import Workload


def workload() -> Workload:
    vectors = np.eye(4, dtype=np.float32)
    vectors[3] = vectors[2]
    return Workload(
        texts=["TOTAL", "CASH", "QTY", "qty"],
        vectors=vectors,
        grown=np.array([0] * 9 + [1, 2, 3]),
        own=[1, 2],
        misspelt=np.array([[0.9, 0.1, 0.0, 0.0]], dtype=np.float32),
        groups={},
    )


def test_another_text_of_the_same_vector_is_found_and_any_other_is_missed():
    assert missed(workload(), ["CASH", "qty"]) == 0.0
    assert missed(workload(), ["TOTAL", "QTY"]) == 0.5
    assert missed(workload(), ["CASH", ""]) == 0.5


def test_the_ten_nearest_rows_are_nine_of_the_first_text_and_one_of_the_second():
    assert recall(workload(), [["TOTAL"] * 9 + ["CASH"]]) == 1.0
    assert recall(workload(), [["TOTAL"] * 9 + ["QTY"]]) == 0.9
    assert recall(workload(), [["TOTAL"] * 4]) == 0.4
