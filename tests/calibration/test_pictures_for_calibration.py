"""The calibration set is representative, repeatable, and read one picture at a time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeyolo.calibration.coverage import survey
from edgeyolo.calibration.pictures import choose_pictures
from edgeyolo.errors import DatasetError, SourceError
from edgeyolo.families import FAMILIES
from edgeyolo.letterbox import Letterboxer
from edgeyolo.pictures import list_pictures, read_picture
from edgeyolo.spec import Family

PREPROCESS = FAMILIES[Family.YOLOV7].preprocess((64, 96))


def test_pictures_are_letterboxed_as_the_predictor_does(picture_folder: Path) -> None:
    pictures = choose_pictures(picture_folder, PREPROCESS)
    letterboxer = Letterboxer(PREPROCESS)
    for path, batch in zip(list_pictures(picture_folder), pictures, strict=True):
        letterboxer.place(read_picture(path))
        np.testing.assert_array_equal(batch[0], letterboxer.canvas_bgr)


def test_a_subset_is_the_same_for_the_same_seed(picture_folder: Path) -> None:
    first, again, other = (
        choose_pictures(picture_folder, PREPROCESS, most=33, seed=seed) for seed in (1, 1, 2)
    )
    assert first.digest == again.digest != other.digest
    assert (len(first), first.available) == (33, 40)


def test_a_subset_has_one_picture_of_every_fifth_of_the_brightness(picture_folder: Path) -> None:
    every = choose_pictures(picture_folder, PREPROCESS)
    few = choose_pictures(picture_folder, PREPROCESS, most=5, allow_few=True)
    ranked = sorted(source.brightness() for source in every.sources)
    chosen = sorted(source.brightness() for source in few.sources)
    for fifth, brightness in enumerate(chosen):
        assert ranked[8 * fifth] <= brightness <= ranked[8 * fifth + 7]


def test_few_pictures_are_refused_unless_told(picture_folder: Path, tmp_path: Path) -> None:
    for path in list_pictures(picture_folder)[:5]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DatasetError, match=r"5 calibration pictures .* 32 .*--allow-few-pictures"):
        choose_pictures(tmp_path, PREPROCESS)
    assert len(choose_pictures(tmp_path, PREPROCESS, allow_few=True)) == 5


def test_a_list_file_names_pictures_relative_to_itself(picture_folder: Path) -> None:
    names = [path.name for path in list_pictures(picture_folder)][:32]
    listing = picture_folder / "some.txt"
    listing.write_text("\n".join(names) + "\n\n")
    assert len(choose_pictures(listing, PREPROCESS)) == 32
    listing.write_text("\n".join([*names, "gone.png"]))
    with pytest.raises(DatasetError, match=r"1 pictures .*gone\.png"):
        choose_pictures(listing, PREPROCESS)
    listing.unlink()


def test_a_video_gives_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for grey in range(40):
        writer.write(np.full((48, 64, 3), 6 * grey, np.uint8))
    writer.release()
    pictures = choose_pictures(path, PREPROCESS, most=32)
    means = [float(frame.mean()) for frame in pictures.frames()]
    assert len(means) == 32
    assert means == sorted(means)
    assert means[-1] - means[0] > 180


@pytest.mark.parametrize("name", ["missing", "weights.pth"])
def test_what_is_no_calibration_set_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises((DatasetError, SourceError), match=name):
        choose_pictures(tmp_path / name, PREPROCESS)


def test_the_digest_changes_with_one_pixel(picture_folder: Path, tmp_path: Path) -> None:
    for path in list_pictures(picture_folder):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = choose_pictures(tmp_path, PREPROCESS).digest
    assert before == choose_pictures(picture_folder, PREPROCESS).digest
    picture = cv2.imread(str(tmp_path / "007.png"))
    assert picture is not None
    picture[3, 3, 0] ^= 1
    cv2.imwrite(str(tmp_path / "007.png"), picture)
    assert choose_pictures(tmp_path, PREPROCESS).digest != before


def test_coverage_counts_sizes_and_objects(picture_folder: Path) -> None:
    pictures = choose_pictures(picture_folder, PREPROCESS)
    coverage = survey(pictures, lambda frame_bgr: 2 if frame_bgr.shape[1] == 80 else 0)
    assert coverage.sizes_wh == ((80, 48, 30), (64, 96, 10))
    assert (coverage.objects, coverage.pictures_without_objects) == (60, 10)
    assert "60 objects; 10 pictures have none" in "\n".join(coverage.lines())
    assert not coverage.cautions()


def test_coverage_warns_of_pictures_without_objects(picture_folder: Path) -> None:
    pictures = choose_pictures(picture_folder, PREPROCESS)
    assert "no picture shows an object" in survey(pictures, lambda _: 0).cautions()[0]
