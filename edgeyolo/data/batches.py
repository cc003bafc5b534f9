"""Training batches: shuffled, augmented, the same again whenever the same seed asks for them.

Every sample draws from a generator seeded by (seed, epoch, position, picture), so a batch does not
depend on the number of workers, on what was loaded before (resume), or on the number of
processes: rank r of w takes its slice of each global batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from edgeyolo.data.batch_formats import BATCH_FORMATS
from edgeyolo.data.sample import Sample
from edgeyolo.data.sample_source import SampleSource
from edgeyolo.errors import DatasetError, EdgeYoloError, TrainingError, one_line
from edgeyolo.spec import ColorOrder, Family

_REPLACEMENTS = 10


class Augmentation(Protocol):
    """How a training sample is made; ``YoloxAugmentation`` and ``YoloV7Augmentation``."""

    def sample(
        self,
        source: SampleSource,
        index: int,
        input_hw: tuple[int, int],
        rng: np.random.Generator,
    ) -> Sample: ...

    def closing(self) -> Augmentation:
        """The augmentation of the last epochs."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One training step's pictures.

    Attributes:
        images: (B, 3, H, W) uint8, channels in the family's order (YOLOX BGR, YOLOv7 RGB),
            values 0..255.
        targets: YOLOX (B, M, 5) float32 rows class, cx, cy, w, h in pixels, zero rows below;
            YOLOv7 (T, 6) float32 rows picture, class, cx, cy, w, h as parts of the input size.
        unreadable: Pictures that could not be read and were replaced, as messages.
    """

    images: torch.Tensor
    targets: torch.Tensor
    unreadable: tuple[str, ...] = ()

    def pin_memory(self) -> Batch:
        """The same in memory that a GPU fetches from without waiting (called by the loader)."""
        return replace(self, images=self.images.pin_memory(), targets=self.targets.pin_memory())


class _Key(NamedTuple):
    """What one sample depends on."""

    epoch: int
    position: int
    picture: int
    closing: bool


class TrainingBatches:
    """Batches of a data set, epoch by epoch.

    Args:
        source: Where the pictures come from.
        augmentation: How a sample is made.
        family: Decides target format and channel order.
        input_hw: Size of the images.
        batch_size: Pictures per batch of this process.
        seed: Of the order and of every augmentation.
        workers: Processes that prepare batches; 0 prepares in this one.
        rank: This process among *world*.
        world: Processes that train together; a global batch has batch_size * world pictures.
        pin_memory: Whether batches are for a GPU.
    """

    def __init__(
        self,
        source: SampleSource,
        augmentation: Augmentation,
        *,
        family: Family,
        input_hw: tuple[int, int],
        batch_size: int,
        seed: int,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        pin_memory: bool = False,
    ) -> None:
        if batch_size < 1 or not 0 <= rank < world:
            raise ValueError(f"batch_size {batch_size}, rank {rank} of {world} make no sense")
        self._order = _EpochOrder(len(source), batch_size, seed, rank, world)
        self._loader: DataLoader[_Prepared | _Failure] = DataLoader(
            _Samples(source, augmentation, input_hw, seed),
            batch_sampler=self._order,
            num_workers=workers,
            collate_fn=_Collate(family),
            worker_init_fn=_start_worker,
            persistent_workers=workers > 0,
            prefetch_factor=3 if workers else None,
            pin_memory=pin_memory,
            # The RAM cache is inherited by fork.
            multiprocessing_context="fork" if workers else None,
        )

    def __len__(self) -> int:
        """Batches per epoch; pictures that fill no whole batch wait for another epoch's order."""
        return self._order.batches

    def epoch(self, epoch: int, *, start: int = 0, closing: bool = False) -> Iterator[Batch]:
        """The batches of one epoch.

        Args:
            epoch: From 0; decides order and draws.
            start: First batch wanted (to resume within an epoch).
            closing: Use the augmentation of the last epochs.

        Raises:
            DatasetError: Ten pictures in a row are unreadable.
            OutputError: The picture cache cannot be written.
            TrainingError: A batch could not be made for another reason, or a worker has died.
        """
        self._order.epoch, self._order.start, self._order.closing = epoch, start, closing
        return self._batches()

    def _batches(self) -> Iterator[Batch]:
        try:
            # The collate function makes batches of the samples; the loader's type cannot say so.
            prepared: Iterator[Batch | _Failure] = iter(self._loader)
            for batch in prepared:
                if isinstance(batch, _Failure):
                    raise batch.kind(batch.text)
                yield batch
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise TrainingError(
                f"a worker that prepares batches has died ({one_line(error, limit=160)}); where "
                "memory was short, use fewer --workers, or --cache none"
            ) from error


def epoch_order(count: int, needed: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """(needed,) int64: picture of each position; whole permutations one after another."""
    rng = np.random.default_rng((seed, epoch))
    rounds = -(-needed // count)
    return np.concatenate([rng.permutation(count) for _ in range(rounds)])[:needed]


class _EpochOrder(Sampler[list[_Key]]):
    def __init__(self, count: int, batch_size: int, seed: int, rank: int, world: int) -> None:
        self._count, self._batch_size, self._seed = count, batch_size, seed
        self._rank, self._world = rank, world
        # A data set smaller than the global batch is repeated within it.
        self.batches = max(count // (batch_size * world), 1)
        self.epoch, self.start, self.closing = 0, 0, False

    def __len__(self) -> int:
        return self.batches - self.start

    def __iter__(self) -> Iterator[list[_Key]]:
        size = self._batch_size * self._world
        order = epoch_order(self._count, self.batches * size, self._seed, self.epoch)
        for batch in range(self.start, self.batches):
            first = batch * size + self._rank * self._batch_size
            yield [
                _Key(self.epoch, position, int(order[position]), self.closing)
                for position in range(first, first + self._batch_size)
            ]


class _Prepared(NamedTuple):
    sample: Sample
    unreadable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a sample could not be made.

    It travels in the sample's place: the loader would hand an exception on with the worker's
    traceback as its text.
    """

    kind: type[EdgeYoloError]
    text: str


class _Samples(Dataset["_Prepared | _Failure"]):
    def __init__(
        self,
        source: SampleSource,
        augmentation: Augmentation,
        input_hw: tuple[int, int],
        seed: int,
    ) -> None:
        self._source = source
        self._augmentations = {False: augmentation, True: augmentation.closing()}
        self._input_hw = input_hw
        self._seed = seed

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, key: _Key) -> _Prepared | _Failure:
        """The sample of *key*; one that cannot be read is replaced by the next picture."""
        try:
            return self._prepared(key)
        except EdgeYoloError as error:
            return _Failure(type(error), str(error))
        except Exception as error:  # noqa: BLE001 - raised again by the main process
            text = f"{type(error).__name__}: {one_line(error)}"
            return _Failure(
                TrainingError,
                f"a batch of epoch {key.epoch} cannot be made of picture {key.picture}: {text}",
            )

    def _prepared(self, key: _Key) -> _Prepared:
        messages: list[str] = []
        for attempt in range(_REPLACEMENTS):
            index = (key.picture + attempt) % len(self._source)
            rng = np.random.default_rng((self._seed, key.epoch, key.position, index, attempt))
            augmentation = self._augmentations[key.closing]
            try:
                sample = augmentation.sample(self._source, index, self._input_hw, rng)
            except DatasetError as error:
                messages.append(str(error))
                continue
            return _Prepared(sample, tuple(messages))
        raise DatasetError(
            f"{_REPLACEMENTS} pictures in a row are unreadable; last: {messages[-1]}"
        )


class _Collate:
    """Samples to tensors; runs in the workers."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def __call__(self, made: list[_Prepared | _Failure]) -> Batch | _Failure:
        for item in made:
            if isinstance(item, _Failure):
                return item
        prepared = [item for item in made if isinstance(item, _Prepared)]
        samples = [item.sample for item in prepared]
        unreadable = tuple(message for item in prepared for message in item.unreadable)
        form = BATCH_FORMATS[self._family]
        images = images_tensor(samples, form.color_order)
        return Batch(images, form.targets(samples), unreadable)


def images_tensor(samples: list[Sample], order: ColorOrder) -> torch.Tensor:
    """(B, 3, H, W) uint8 of samples of one size."""
    height, width = samples[0].hw
    images = np.empty((len(samples), 3, height, width), np.uint8)
    channels = (0, 1, 2) if order is ColorOrder.BGR else (2, 1, 0)
    for place, sample in zip(images, samples, strict=True):
        # Three times as fast as a transposed copy.
        planes = cv2.split(sample.frame_bgr)
        for target, channel in enumerate(channels):
            place[target] = planes[channel]
    return torch.from_numpy(images)


def _start_worker(_: int) -> None:
    # One picture per worker at a time: OpenCV's own threads would only fight over the cores.
    cv2.setNumThreads(0)
