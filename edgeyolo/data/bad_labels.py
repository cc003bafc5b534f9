"""An accuracy measured without some of its labels is another accuracy: refused, or said aloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeyolo.data.dataset import DetectionDataset, Problem, ProblemKind
from edgeyolo.errors import DatasetError

OPTION = "--skip-bad-labels"
_WHOLE_PICTURES = frozenset(
    {
        ProblemKind.MISSING_PICTURE,
        ProblemKind.UNREADABLE_PICTURE,
        ProblemKind.TRUNCATED_PICTURE,
        ProblemKind.UNREADABLE_LABELS,
        ProblemKind.SIZE_MISMATCH,
        ProblemKind.REPEATED_PICTURE,
        ProblemKind.UNCLEAR_PICTURE,
        ProblemKind.SHARED_LABELS,
    }
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What an evaluation goes without.

    Attributes:
        pictures: Missing, unreadable, of another size than labelled, listed twice, or
            with labels that may be another's.
        labels: Of pictures that are evaluated.
    """

    pictures: int = 0
    labels: int = 0

    def __bool__(self) -> bool:
        return self.pictures + self.labels > 0

    def __str__(self) -> str:
        return f"{_counted(self.pictures, 'picture')} and {_counted(self.labels, 'label')}"


NOTHING = LeftOut()


def judge_labels(
    dataset: DetectionDataset, source: Path, images: Path | None = None, *, skip: bool
) -> LeftOut:
    """What was left out of a data set that accuracy is to be measured on.

    Args:
        dataset: As a reader or a check returned it; warnings among its problems are no matter.
        source: What the user named, for the message.
        images: As *source*, where it was given.
        skip: Go on with what is left.

    Raises:
        DatasetError: Something was left out and *skip* is not set.
    """
    errors = [problem for problem in dataset.problems if problem.kind.is_error]
    whole = sum(problem.kind in _WHOLE_PICTURES for problem in errors)
    left_out = LeftOut(whole, len(errors) - whole)
    if errors and not skip:
        raise DatasetError(_refusal(dataset, errors, source, images))
    return left_out


def _refusal(
    dataset: DetectionDataset, errors: Sequence[Problem], source: Path, images: Path | None
) -> str:
    missing = [one for one in errors if one.kind is ProblemKind.MISSING_PICTURE]
    others = [one for one in errors if one.kind is not ProblemKind.MISSING_PICTURE]
    parts = []
    if others:
        parts.append(f"{others[0].kind.value}: {others[0]} (errors in all: {len(others)})")
    if missing:
        total = len(dataset) + sum(one.kind in _WHOLE_PICTURES for one in errors)
        # A list of pictures says itself where they are; other labels tell names, and in which
        # folder they were looked for.
        way_out = "; --images names their folder" if any(one.detail for one in missing) else ""
        parts.append(
            f"{len(missing)} of {total} pictures are missing, the first is {missing[0]}{way_out}"
        )
    return (
        f"{dataset.name}: {'; '.join(parts)}; repair it (see: edgeyolo data check {source}"
        f"{f' --images {images}' if images else ''}), or measure without with {OPTION}"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
