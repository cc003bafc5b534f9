"""Rendered data sets are read back as they were rendered."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeyolo.data.checking import check_dataset
from edgeyolo.data.dataset import ProblemKind
from edgeyolo.data.labels import read_dataset
from edgeyolo.scenes import SCENE_CLASSES, Difficulty, render_scene
from edgeyolo.scenes.folder import write_scenes


def test_a_rendered_folder_reads_back_exactly(tmp_path: Path) -> None:
    objects = write_scenes(tmp_path / "scenes", 6, 40, (96, 128), Difficulty.HARD)
    dataset = read_dataset(tmp_path / "scenes")
    assert dataset.class_names == SCENE_CLASSES
    assert dataset.num_boxes == objects
    for index, picture in enumerate(dataset.pictures):
        scene = render_scene(40 + index, (96, 128), Difficulty.HARD)
        np.testing.assert_allclose(picture.boxes_xyxy, scene.boxes_xyxy, atol=1e-4)
        np.testing.assert_array_equal(picture.class_ids, scene.class_ids)
    kinds = {problem.kind for problem in check_dataset(dataset).problems}
    assert kinds <= {ProblemKind.EMPTY_CLASS}
