"""Batches are the same whoever prepares them, and their boxes fit their pictures."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from edgeyolo.data.augment_yolov7 import YOLOV7_AUGMENTATION, YoloV7Augmentation
from edgeyolo.data.augment_yolox import YOLOX_AUGMENTATION, YoloxAugmentation
from edgeyolo.data.batches import Augmentation, Batch, TrainingBatches
from edgeyolo.data.dataset import DetectionDataset
from edgeyolo.data.labels import read_dataset
from edgeyolo.data.multiscale import resize_batch, yolov7_size, yolox_size
from edgeyolo.data.sample import Sample
from edgeyolo.data.sample_source import CacheMode, DatasetSource
from edgeyolo.errors import DatasetError, OutputError, TrainingError
from edgeyolo.spec import Family
from tests.edgeyolo.data.dataset_files import coco_folder

INPUT_HW = (64, 96)
AUGMENTATIONS: list[tuple[Family, Augmentation]] = [
    (Family.YOLOX, YOLOX_AUGMENTATION["s"]),
    (Family.YOLOV7, YoloV7Augmentation(paste_in=0.5, mixup=0.5, nine=0.5)),
]


@pytest.fixture
def dataset(tmp_path: Path) -> DetectionDataset:
    coco_folder(tmp_path / "pictures", count=10)
    return read_dataset(tmp_path / "pictures")


def batches(
    dataset: DetectionDataset,
    family: Family,
    augmentation: Augmentation,
    *,
    batch_size: int = 4,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> TrainingBatches:
    return TrainingBatches(
        DatasetSource(dataset, INPUT_HW),
        augmentation,
        family=family,
        input_hw=INPUT_HW,
        batch_size=batch_size,
        seed=5,
        workers=workers,
        rank=rank,
        world=world,
    )


def assert_same(first: Batch, second: Batch) -> None:
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.targets, second.targets)


@pytest.mark.parametrize(("family", "augmentation"), AUGMENTATIONS)
def test_workers_and_resume_change_nothing(
    dataset: DetectionDataset, family: Family, augmentation: Augmentation
) -> None:
    alone = batches(dataset, family, augmentation)
    helped = batches(dataset, family, augmentation, workers=2)
    assert len(alone) == 2
    expected = [list(alone.epoch(epoch)) for epoch in range(3)]
    assert not torch.equal(expected[0][0].images, expected[1][0].images)
    for epoch in (1, 2):  # resumed after epoch 0
        found = list(helped.epoch(epoch))
        assert len(found) == 2
        for ours, theirs in zip(expected[epoch], found, strict=True):
            assert_same(ours, theirs)
    (within,) = list(helped.epoch(2, start=1))  # resumed within the epoch
    assert_same(within, expected[2][1])


@pytest.mark.parametrize(("family", "augmentation"), AUGMENTATIONS)
def test_two_processes_share_the_batches_of_one(
    dataset: DetectionDataset, family: Family, augmentation: Augmentation
) -> None:
    whole = list(batches(dataset, family, augmentation).epoch(3))
    halves = [
        list(batches(dataset, family, augmentation, batch_size=2, rank=rank, world=2).epoch(3))
        for rank in range(2)
    ]
    for one, first, second in zip(whole, *halves, strict=True):
        assert torch.equal(one.images, torch.cat((first.images, second.images)))


def test_every_picture_comes_once_an_epoch(dataset: DetectionDataset) -> None:
    plain = YoloxAugmentation(mosaic=0.0, hsv=0.0, mirror=0.0)
    found = list(batches(dataset, Family.YOLOX, plain, batch_size=5).epoch(0))
    pictures = torch.cat([batch.images for batch in found]).flatten(1)
    assert len(torch.unique(pictures, dim=0)) == 10


def test_a_small_data_set_fills_a_batch_by_repeating(dataset: DetectionDataset) -> None:
    found = batches(dataset, Family.YOLOX, YOLOX_AUGMENTATION["nano"], batch_size=16)
    (batch,) = list(found.epoch(0))
    assert batch.images.shape == (16, 3, *INPUT_HW)


def test_unaugmented_yolox_targets_are_the_labels_in_input_pixels(
    dataset: DetectionDataset,
) -> None:
    plain = YoloxAugmentation(mosaic=0.0, hsv=0.0, mirror=0.0)
    batch = next(iter(batches(dataset, Family.YOLOX, plain, batch_size=1).epoch(0)))
    ratio = 96 / 64 if INPUT_HW[0] / 48 > 96 / 64 else INPUT_HW[0] / 48
    expected = np.array([(0, 14.0, 10.0, 20.0, 10.0), (1, 42.75, 23.125, 25.5, 30.25)])
    expected[:, 1:] *= ratio
    np.testing.assert_allclose(batch.targets[0, :2].numpy(), expected, rtol=1e-6)
    assert not batch.targets[0, 2:].any()


def test_targets_lie_within_the_pictures(dataset: DetectionDataset) -> None:
    for family, augmentation in AUGMENTATIONS:
        found = batches(dataset, family, augmentation)
        rows = []
        for batch in (batch for epoch in range(5) for batch in found.epoch(epoch)):
            assert batch.images.dtype == torch.uint8
            if family is Family.YOLOX:
                kept = batch.targets[batch.targets.sum(dim=2) > 0]
                size = torch.tensor([INPUT_HW[1], INPUT_HW[0]] * 2)
                rows.append(kept[:, 1:] / size)
            else:
                assert set(batch.targets[:, 0].tolist()) <= set(range(4))
                rows.append(batch.targets[:, 2:])
        boxes = torch.cat(rows)
        assert len(boxes) > 20
        assert (boxes[:, :2] - boxes[:, 2:] / 2).min() > -1e-5
        assert (boxes[:, :2] + boxes[:, 2:] / 2).max() < 1 + 1e-5
        assert boxes[:, 2:].min() > 0


def test_closing_epochs_have_no_mosaic(dataset: DetectionDataset) -> None:
    found = batches(dataset, Family.YOLOX, YOLOX_AUGMENTATION["x"])
    for batch in found.epoch(0, closing=True):
        counts = (batch.targets.sum(dim=2) > 0).sum(dim=1)
        assert counts.tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("cache", [CacheMode.RAM, CacheMode.DISK])
def test_a_cache_changes_nothing_and_spares_reading(
    dataset: DetectionDataset, tmp_path: Path, cache: CacheMode
) -> None:
    plain = DatasetSource(dataset, INPUT_HW)
    cached = DatasetSource(dataset, INPUT_HW, cache=cache, cache_folder=tmp_path / "cache")
    for index in range(len(dataset)):
        np.testing.assert_array_equal(plain.load(index).frame_bgr, cached.load(index).frame_bgr)
    pixels = [plain.load(index).frame_bgr for index in range(len(dataset))]
    for picture in dataset.pictures:
        stat = picture.path.stat()
        content = bytearray(picture.path.read_bytes())
        content[len(content) // 2] ^= 0xFF  # same size, other pixels
        picture.path.write_bytes(bytes(content))
        os.utime(picture.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    for index in range(len(dataset)):
        np.testing.assert_array_equal(cached.load(index).frame_bgr, pixels[index])


def test_a_changed_picture_is_not_taken_from_the_disk_cache(
    dataset: DetectionDataset, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    source = DatasetSource(dataset, INPUT_HW, cache=CacheMode.DISK, cache_folder=folder)
    before = source.load(0).frame_bgr
    first, second = dataset.pictures[0].path, dataset.pictures[1].path
    first.write_bytes(second.read_bytes())
    after = source.load(0).frame_bgr
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, source.load(1).frame_bgr)


@pytest.mark.parametrize("cache", CacheMode)
def test_a_picture_that_vanishes_is_replaced_and_named(
    dataset: DetectionDataset, tmp_path: Path, cache: CacheMode
) -> None:
    made = TrainingBatches(
        DatasetSource(dataset, INPUT_HW, cache=cache, cache_folder=tmp_path / "cache"),
        YoloxAugmentation(mosaic=0.0),
        family=Family.YOLOX,
        input_hw=INPUT_HW,
        batch_size=10,
        seed=5,
    )
    assert not (tmp_path / "cache").exists()
    path = dataset.pictures[3].path
    path.unlink()
    (found,) = made.epoch(0)
    assert found.unreadable == (f"cannot read picture {path}: No such file or directory",)
    assert found.images.shape[0] == 10


def test_a_data_set_without_readable_pictures_stops(dataset: DetectionDataset) -> None:
    for picture in dataset.pictures:
        picture.path.write_bytes(b"")
    with pytest.raises(DatasetError, match="10 pictures in a row are unreadable"):
        next(iter(batches(dataset, Family.YOLOX, YoloxAugmentation()).epoch(0)))


class Failing(YoloxAugmentation):
    """Stands for a bug, and for a system that kills a worker when memory is short."""

    kill = False

    def sample(self, *_: object) -> Sample:
        if self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        raise ZeroDivisionError("division by zero")


class Killing(Failing):
    kill = True


@pytest.mark.parametrize("workers", [0, 1])
def test_an_exception_while_a_batch_is_made_is_one_line(
    dataset: DetectionDataset, workers: int
) -> None:
    made = batches(dataset, Family.YOLOX, Failing(), workers=workers)
    with pytest.raises(TrainingError, match="ZeroDivisionError: division by zero") as caught:
        next(made.epoch(0))
    assert "\n" not in str(caught.value)


def test_a_worker_that_is_killed_is_one_line(dataset: DetectionDataset) -> None:
    made = batches(dataset, Family.YOLOX, Killing(), workers=1)
    with pytest.raises(TrainingError, match=r"has died .*--workers") as caught:
        next(made.epoch(0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_names_the_picture_cache(
    dataset: DetectionDataset, tmp_path: Path, workers: int
) -> None:
    """The limit on the size of a file stands for the disk; a picture has 13 kB."""
    source = DatasetSource(dataset, INPUT_HW, cache=CacheMode.DISK, cache_folder=tmp_path / "cache")
    made = TrainingBatches(
        source,
        YOLOX_AUGMENTATION["s"],
        family=Family.YOLOX,
        input_hw=INPUT_HW,
        batch_size=4,
        seed=5,
        workers=workers,
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OutputError, match=r"picture cache .*--cache none") as caught:
            next(made.epoch(0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)


def test_published_settings_differ_where_the_papers_do() -> None:
    assert YOLOX_AUGMENTATION["nano"].mosaic == 0.5
    assert YOLOX_AUGMENTATION["tiny"].mixup == 0.0
    assert YOLOX_AUGMENTATION["l"].mosaic_scale == (0.1, 2.0)
    assert YOLOV7_AUGMENTATION["tiny"].mixup == 0.05
    assert YOLOV7_AUGMENTATION["p6"].scale == 0.9


def test_sizes_change_every_ten_steps_for_yolox() -> None:
    sizes = [yolox_size(1, step, (640, 640)) for step in range(400)]
    assert sizes[:10] == [(640, 640)] * 10
    assert all(sizes[i] == sizes[i - i % 10] for i in range(400))
    assert {min(size) for size in sizes} <= set(range(480, 801, 32))
    assert len(set(sizes)) > 8
    tiny = {yolox_size(1, step, (416, 416), multiples=(10, 20))[0] for step in range(10, 900)}
    assert (min(tiny), max(tiny)) == (320, 640)
    assert {h % 32 for h, _ in (yolov7_size(1, step, (640, 640)) for step in range(50))} == {0}


def test_resizing_a_batch_keeps_boxes_on_their_objects() -> None:
    images = torch.zeros(1, 3, 64, 64)
    images[:, :, 16:32, 8:24] = 255
    targets = torch.tensor([[[0.0, 16.0, 24.0, 16.0, 16.0]]])
    bigger, moved = resize_batch(images, targets, (128, 96), Family.YOLOX)
    _, cx, cy, w, h = moved[0, 0].tolist()
    inside = bigger[0, 0, int(cy - h / 2) + 2 : int(cy + h / 2) - 2, int(cx - w / 2) + 2 :]
    assert (inside[:, : int(w) - 4] > 200).all()
    assert bigger.sum() / 3 / 255 == pytest.approx(w * h, rel=0.05)
    parts = torch.tensor([[0.0, 0.0, 0.25, 0.375, 0.25, 0.25]])
    assert torch.equal(resize_batch(images, parts, (128, 96), Family.YOLOV7)[1], parts)
