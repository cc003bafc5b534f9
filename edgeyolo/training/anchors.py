"""YOLOv7's anchors: do the published ones fit the objects, and which would.

Recall here is the best a detector could reach: the share of objects for which some anchor
differs by less than the threshold on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import TrainingError
from edgeyolo.models.architecture import AnchorsPx

Sizes = NDArray[np.float64]
_MUTATION_PROBABILITY = 0.9
_MUTATION_SIGMA = 0.1
_KMEANS_ROUNDS = 30
_LEAST_SIDE_PX = 2.0


@dataclass(frozen=True, slots=True)
class AnchorCheck:
    """How well anchors fit.

    Attributes:
        anchors_px: Those to train with.
        recall_before: Best possible recall of the given ones.
        recall: Best possible recall of those to train with.
    """

    anchors_px: AnchorsPx
    recall_before: float
    recall: float

    @property
    def changed(self) -> bool:
        return self.recall > self.recall_before


def _closeness(sizes_wh: Sizes, anchors_wh: Sizes) -> Sizes:
    """(N, A): the worse of the two ratios of sides, 1 for equal sizes, towards 0 otherwise."""
    ratio = sizes_wh[:, None] / anchors_wh[None]
    worse: Sizes = np.minimum(ratio, 1 / ratio).min(axis=2)
    return worse


def best_possible_recall(sizes_wh: Sizes, anchors_wh: Sizes, threshold: float = 4.0) -> float:
    """Share of the objects *sizes_wh* (N, 2) that some anchor (A, 2) fits."""
    return float((_closeness(sizes_wh, anchors_wh).max(axis=1) > 1 / threshold).mean())


def check_anchors(
    sizes_wh: Sizes,
    anchors_px: AnchorsPx,
    *,
    threshold: float = 4.0,
    min_recall: float = 0.98,
    generations: int = 1000,
    seed: int = 0,
) -> AnchorCheck:
    """Keep the anchors if they fit well enough, otherwise fit new ones.

    Args:
        sizes_wh: (N, 2) sizes of all objects in pixels of the network input.
        anchors_px: The given anchors.
        threshold: Largest ratio of sides.
        min_recall: Below, new anchors are fitted; they are used only if they are better.
        generations: Of the genetic search.
        seed: Of k-means and search.

    Raises:
        TrainingError: There are fewer objects than anchors.
    """
    levels, per_level = len(anchors_px), len(anchors_px[0])
    given = np.array(anchors_px, np.float64).reshape(-1, 2)
    large = sizes_wh[(sizes_wh >= _LEAST_SIDE_PX).all(axis=1)]
    if not len(large):
        raise TrainingError("the training pictures have no object of at least 2x2 pixels")
    before = best_possible_recall(large, given, threshold)
    if before >= min_recall or len(large) < len(given):
        return AnchorCheck(anchors_px, before, before)
    random = np.random.default_rng(seed)
    fitted = _evolved(large, _kmeans(large, len(given), random), threshold, generations, random)
    after = best_possible_recall(large, fitted, threshold)
    if after <= before:
        return AnchorCheck(anchors_px, before, before)
    ordered = fitted[np.argsort(fitted.prod(axis=1))].round(2).reshape(levels, per_level, 2)
    return AnchorCheck(
        tuple(tuple((float(w), float(h)) for w, h in level) for level in ordered), before, after
    )


def _kmeans(sizes_wh: Sizes, count: int, random: np.random.Generator) -> Sizes:
    """Cluster centres in units of the standard deviation of each side."""
    spread = np.maximum(sizes_wh.std(axis=0), 1e-3)
    points = sizes_wh / spread
    centres = points[random.choice(len(points), count, replace=False)]
    for _ in range(_KMEANS_ROUNDS):
        nearest = ((points[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        for index in range(count):
            if (nearest == index).any():
                centres[index] = points[nearest == index].mean(axis=0)
    scaled: Sizes = np.maximum(centres * spread, _LEAST_SIDE_PX)
    return scaled


def _evolved(
    sizes_wh: Sizes,
    anchors_wh: Sizes,
    threshold: float,
    generations: int,
    random: np.random.Generator,
) -> Sizes:
    """Mutate the anchors and keep what fits better."""

    def fitness(candidates: Sizes) -> float:
        best = _closeness(sizes_wh, candidates).max(axis=1)
        return float((best * (best > 1 / threshold)).mean())

    best, champion = fitness(anchors_wh), anchors_wh
    for _ in range(generations):
        mutated = random.random(champion.shape) < _MUTATION_PROBABILITY
        noise = random.random() * random.standard_normal(champion.shape) * _MUTATION_SIGMA
        candidate = np.maximum(champion * np.clip(1 + mutated * noise, 0.3, 3.0), _LEAST_SIDE_PX)
        score = fitness(candidate)
        if score > best:
            best, champion = score, candidate
    return champion
