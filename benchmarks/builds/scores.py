"""How good a build's answers are, from the texts that it gave and the workload's vectors alone. Pure."""

from collections.abc import Sequence

import numpy as np

from benchmarks.builds.workload import Workload

NEIGHBOURS = 10
ROUNDING = 1e-5
"""Cosines that differ by less are the same; an index rounds."""


def missed(workload: Workload, answers: Sequence[str]) -> float:
    """The share of rare texts that were not the first answer to their own vector.

    Args:
        workload: what was asked.
        answers: the first text of each answer. Another text of the same vector is right.
    """
    numbers = {text: number for number, text in enumerate(workload.texts)}
    wrong = 0
    for asked, answer in zip(workload.own, answers, strict=True):
        given = numbers.get(answer)
        wrong += given is None or float(workload.vectors[asked] @ workload.vectors[given]) < 1.0 - ROUNDING
    return wrong / len(workload.own)


def recall(workload: Workload, answers: Sequence[Sequence[str]]) -> float:
    """Recall of the ten nearest rows, against an exact scan of the rows.

    Rows of the same text are equally near, so an answer counts when it is not further away than the tenth nearest row.

    Args:
        workload: what was asked.
        answers: ten texts for each misspelt query.
    """
    numbers = {text: number for number, text in enumerate(workload.texts)}
    wanted = min(NEIGHBOURS, len(workload.grown))
    found = 0
    for query, answer in zip(workload.misspelt, answers, strict=True):
        similar = workload.vectors @ query
        tenth = np.partition(similar[workload.grown], -wanted)[-wanted]
        found += sum(similar[numbers[text]] >= tenth - ROUNDING for text in answer[:wanted] if text in numbers)
    return found / (wanted * len(workload.misspelt))
