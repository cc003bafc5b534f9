"""Pictures of a data set as samples that fit the network input, kept in memory or on disk."""

from __future__ import annotations

import hashlib
import mmap
import os
from enum import Enum
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeyolo.data.dataset import DetectionDataset, LabeledPicture
from edgeyolo.data.pictures import read_picture
from edgeyolo.data.sample import Picture, Sample, fitted_hw, resized
from edgeyolo.errors import DatasetError, OutputError, one_line


class CacheMode(str, Enum):
    """Where decoded and resized pictures are kept between epochs."""

    NONE = "none"
    RAM = "ram"
    DISK = "disk"


class SampleSource(Protocol):
    """What augmentations draw pictures from."""

    def __len__(self) -> int: ...

    def load(self, index: int) -> Sample:
        """Picture *index*, resized to just fit the network input, crowd regions left out.

        The frame may be shared with a cache: never write into it.

        Raises:
            DatasetError: The picture cannot be read.
            OutputError: The picture cache cannot be written.
        """

    def has_objects(self, index: int) -> bool: ...

    def has_segments(self, index: int) -> bool: ...


class DatasetSource:
    """A data set as a source of samples.

    Safe to use from forked worker processes: the RAM cache is shared memory that they all fill.

    Args:
        dataset: Checked pictures.
        input_hw: Pictures are resized to just fit.
        cache: Where decoded pictures are kept.
        cache_folder: For ``CacheMode.DISK``; made with the first picture.

    Raises:
        DatasetError: The RAM cache would not fit into memory.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        input_hw: tuple[int, int],
        *,
        cache: CacheMode = CacheMode.NONE,
        cache_folder: Path | None = None,
    ) -> None:
        if cache is CacheMode.DISK and cache_folder is None:
            raise ValueError("a disk cache needs cache_folder")
        self._dataset = dataset
        self._input_hw = input_hw
        self._memory = _SharedPictures(dataset, input_hw) if cache is CacheMode.RAM else None
        self._folder = cache_folder if cache is CacheMode.DISK else None

    def __len__(self) -> int:
        return len(self._dataset)

    def has_objects(self, index: int) -> bool:
        picture = self._dataset.pictures[index]
        return bool((~picture.crowd).any())

    def has_segments(self, index: int) -> bool:
        return any(self._dataset.pictures[index].segments)

    def load(self, index: int) -> Sample:
        picture = self._dataset.pictures[index]
        ratio = min(self._input_hw[0] / picture.hw[0], self._input_hw[1] / picture.hw[1])
        whole = Sample(
            self._frame(index, picture), picture.boxes_xyxy, picture.class_ids, picture.segments
        )
        single = whole.keep(~picture.crowd)
        return single.moved(single.frame_bgr, (ratio, ratio), (0.0, 0.0))

    def _frame(self, index: int, picture: LabeledPicture) -> Picture:
        if self._memory is not None:
            return self._memory.get(index, self._decoded)
        if self._folder is not None:
            return self._from_disk(index, picture)
        return self._decoded(index)

    def _decoded(self, index: int) -> Picture:
        picture = self._dataset.pictures[index]
        frame = read_picture(picture.path, ignore_exif=picture.ignore_exif)
        if frame.shape[:2] != picture.hw:
            raise DatasetError(
                f"picture {picture.path} is {frame.shape[1]}x{frame.shape[0]}, its labels say "
                f"{picture.hw[1]}x{picture.hw[0]}; see: edgeyolo data check"
            )
        return resized(frame, fitted_hw(picture.hw, self._input_hw))

    def _from_disk(self, index: int, picture: LabeledPicture) -> Picture:
        assert self._folder is not None
        file = self._folder / f"{_cache_key(picture, self._input_hw)}.npy"
        shape = (*fitted_hw(picture.hw, self._input_hw), 3)
        try:
            frame = np.load(file)
        except (OSError, ValueError, EOFError):
            frame = None
        if frame is not None and frame.shape == shape and frame.dtype == np.uint8:
            return np.asarray(frame, np.uint8)
        frame = self._decoded(index)
        # Several workers may write the same picture; each renames a whole file of its own.
        temporary = file.with_suffix(f".{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as handle:
                np.save(handle, frame)
            temporary.replace(file)
        except OSError as error:
            raise _cannot_cache(self._folder, error) from error
        finally:
            temporary.unlink(missing_ok=True)
        return frame


def _cannot_cache(folder: Path, error: OSError) -> OutputError:
    # numpy reports a disk that is full as a number of items without an errno.
    reason = error.strerror or "No space left on device"
    return OutputError(
        f"cannot write the picture cache {folder}: {reason}; use --cache none or --cache ram"
    )


def _cache_key(picture: LabeledPicture, input_hw: tuple[int, int]) -> str:
    """Changes when the file, the size or the EXIF rule changes."""
    try:
        stat = picture.path.stat()
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise DatasetError(f"cannot read picture {picture.path}: {reason}") from error
    facts = (
        str(picture.path.resolve()),
        stat.st_size,
        stat.st_mtime_ns,
        input_hw,
        picture.ignore_exif,
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


class _SharedPictures:
    """All pictures in one anonymous shared mapping that forked workers inherit.

    Not /dev/shm, which containers limit to 64 MB.
    """

    def __init__(self, dataset: DetectionDataset, input_hw: tuple[int, int]) -> None:
        self._shapes = [(*fitted_hw(picture.hw, input_hw), 3) for picture in dataset.pictures]
        sizes = [height * width * depth for height, width, depth in self._shapes]
        self._starts = np.concatenate(([0], np.cumsum(sizes))).tolist()
        total = int(self._starts[-1])
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if total > 0.8 * available:
            raise DatasetError(
                f"caching {len(dataset)} pictures in RAM needs {total / 2**30:.1f} GiB, only "
                f"{available / 2**30:.1f} GiB are free; use --cache disk or --cache none"
            )
        self._pixels: NDArray[np.uint8] = np.frombuffer(mmap.mmap(-1, max(total, 1)), np.uint8)
        self._filled: NDArray[np.uint8] = np.frombuffer(
            mmap.mmap(-1, max(len(dataset), 1)), np.uint8
        )

    def get(self, index: int, decode: _Decode) -> Picture:
        shape = self._shapes[index]
        place = self._pixels[self._starts[index] : self._starts[index + 1]].reshape(shape)
        if not self._filled[index]:
            # Two workers may fill the same place with the same bytes; the flag comes last.
            place[...] = decode(index)
            self._filled[index] = 1
        return place


class _Decode(Protocol):
    def __call__(self, index: int) -> Picture: ...
