"""The calibration set: which pictures, letterboxed as the predictor does, one at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.picture_sources import FileFrame, FrameSource, VideoFrame
from edgeyolo.errors import DatasetError
from edgeyolo.frames import as_bgr
from edgeyolo.letterbox import Letterboxer
from edgeyolo.pictures import SUFFIXES, list_pictures
from edgeyolo.spec import Preprocess

# Below, ranges are guesses; NNCF and TensorRT both advise some hundred.
FEWEST_PICTURES = 32
DEFAULT_PICTURES = 128

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"})


@dataclass(frozen=True, slots=True)
class CalibrationPictures:
    """Pictures in a fixed order, decoded and letterboxed anew on every iteration.

    Attributes:
        sources: Where each comes from.
        preprocess: The predictor's own.
        digest: SHA-256 over the content of the pictures, in order.
        available: How many there were to choose from.
    """

    sources: tuple[FrameSource, ...]
    preprocess: Preprocess
    digest: str
    available: int

    def __len__(self) -> int:
        return len(self.sources)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """(1, H, W, 3) uint8 BGR pixels on the network's canvas; each a new array."""
        letterboxer = Letterboxer(self.preprocess)
        for frame_bgr in self.frames():
            letterboxer.place(frame_bgr)
            yield letterboxer.canvas_bgr[None].copy()

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """(H, W, 3) uint8 BGR, as they are on disk."""
        for source in self.sources:
            yield as_bgr(source.read())

    def sample(self, count: int) -> CalibrationPictures:
        """At most *count* of the pictures, evenly spread."""
        if count >= len(self):
            return self
        index = np.linspace(0, len(self) - 1, count).round().astype(int).tolist()
        sources = tuple(self.sources[i] for i in index)
        return CalibrationPictures(
            sources, self.preprocess, digest_of(sources), available=self.available
        )


def choose_pictures(
    source: Path | Sequence[Path],
    preprocess: Preprocess,
    *,
    most: int = DEFAULT_PICTURES,
    seed: int = 0,
    allow_few: bool = False,
) -> CalibrationPictures:
    """A representative subset of a folder, list, video or given files.

    Pictures are sorted by mean brightness and cut into *most* groups of equal size; one of each
    group is drawn. So night and snow are in the subset in the share that they have in the set.

    Args:
        source: Folder of pictures (or with a folder ``images``), text file with one path per
            line (relative to the file), video, or picture files.
        preprocess: How the predictor feeds the network.
        most: Size of the subset.
        seed: Same set and seed, same subset.
        allow_few: Accept fewer than 32 pictures.

    Raises:
        SourceError: Nothing readable is there.
        DatasetError: Too few pictures.
    """
    if most < 1:
        raise ValueError(f"most must be at least 1, got {most}")
    found = find_pictures(source)
    if min(len(found), most) < FEWEST_PICTURES and not allow_few:
        name = source if isinstance(source, Path) else "the list"
        raise DatasetError(
            f"{min(len(found), most)} calibration pictures from {name} are too few, INT8 ranges "
            f"need {FEWEST_PICTURES} or more; add pictures, or accept it with --allow-few-pictures"
        )
    chosen = tuple(found) if len(found) <= most else _representative(found, most, seed)
    return CalibrationPictures(chosen, preprocess, digest_of(chosen), available=len(found))


def find_pictures(source: Path | Sequence[Path]) -> list[FrameSource]:
    """Everything that *source* offers, in a fixed order.

    Raises:
        SourceError: Nothing readable is there.
    """
    if not isinstance(source, Path):
        return [FileFrame(path) for path in source]
    if source.is_dir():
        inner = source / "images"
        has_own = any(path.suffix.lower() in SUFFIXES for path in source.iterdir())
        folder = inner if inner.is_dir() and not has_own else source
        return [FileFrame(path) for path in list_pictures(folder)]
    if source.suffix.lower() in VIDEO_SUFFIXES:
        return list(VideoFrame.all_of(source))
    if source.suffix.lower() == ".txt":
        return [FileFrame(path) for path in _listed(source)]
    raise DatasetError(
        f"{source} is no calibration set; give a folder of pictures, a .txt list, a video "
        f"({', '.join(sorted(VIDEO_SUFFIXES))}), or a COCO .json or data-set .yaml"
    )


def digest_of(sources: Sequence[FrameSource]) -> str:
    """SHA-256 over the content of pictures, in order."""
    total = hashlib.sha256()
    for source in sources:
        total.update(source.content_digest())
    return total.hexdigest()


def _listed(file: Path) -> list[Path]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read the list {file}: {error}") from error
    paths = [file.parent / line.strip() for line in lines if line.strip()]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise DatasetError(
            f"{file} lists {len(missing)} pictures that do not exist, first {missing[0]}"
        )
    if not paths:
        raise DatasetError(f"{file} lists no pictures")
    return paths


def _representative(found: Sequence[FrameSource], most: int, seed: int) -> tuple[FrameSource, ...]:
    random = np.random.default_rng(seed)
    # Brightness needs every picture decoded: of very large sets a random part must do.
    order = random.permutation(len(found))[: max(4096, most)]
    candidates = [found[index] for index in sorted(order.tolist())]
    brightness = np.array([source.brightness() for source in candidates])
    ranked = np.argsort(brightness, kind="stable")
    groups = np.array_split(ranked, most)
    picks = sorted(int(random.choice(group)) for group in groups)
    return tuple(candidates[index] for index in picks)
