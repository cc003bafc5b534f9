"""What the measuring process is asked and what it answers: one JSON object a line."""

from __future__ import annotations

from enum import Enum

import msgspec

from edgeyolo.contract import Contract


class Turn(Enum):
    """What is repeated in one turn.

    BARE: The vendor's call on a tensor that stays where it is.
    STAGES: Letterbox, network and finish, timed one by one.
    SYNC: ``Predictor.predict``.
    STREAM: ``Predictor.stream``.
    """

    BARE = "bare"
    STAGES = "stages"
    SYNC = "sync"
    STREAM = "stream"


class Open(msgspec.Struct, tag=True, frozen=True):
    """Load an artifact and run it once; the first request."""

    artifact: str
    source: str
    frames: int
    device: str
    threads: int | None


class Run(msgspec.Struct, tag=True, frozen=True):
    """One turn of so many seconds."""

    turn: Turn
    seconds: float


class Draw(msgspec.Struct, tag=True, frozen=True):
    """Detections of the first so many frames, drawn."""

    count: int
    max_side: int


class Look(msgspec.Struct, tag=True, frozen=True):
    """How much memory the process takes."""


Request = Open | Run | Draw | Look


class Opened(msgspec.Struct, tag=True, frozen=True):
    """The artifact is loaded.

    Attributes:
        gpu: PCI address of the NVIDIA GPU that the network runs on, or ``"unknown"``; ``None``
            where it runs on something else.
        entry_sha256: Digest of the file that was opened.
        entry_bytes: Size of the model's files together.
        load_ms: From the call of ``edgeyolo.load`` to its return, the vendor's import included.
        first_ms: The first ``predict`` after it.
        before_mb: Resident memory before the load, with frames, numpy and OpenCV.
        batch: Pictures of one call of the bare network.
    """

    contract: Contract
    device: str
    gpu: str | None
    entry_sha256: str
    entry_bytes: int
    load_ms: float
    first_ms: float
    before_mb: float
    frame_hw: tuple[int, int]
    frames: int
    batch: int


class Times(msgspec.Struct, tag=True, frozen=True):
    """Milliseconds of each call, by stage; one stage named as the turn where there is but one."""

    times_ms: dict[str, list[float]]


class Streamed(msgspec.Struct, tag=True, frozen=True):
    """Milliseconds from each result of a stream to the next; the start is left out."""

    intervals_ms: list[float]


class Memory(msgspec.Struct, tag=True, frozen=True):
    """In 2**20 bytes."""

    resident_mb: float
    peak_mb: float


class Picture(msgspec.Struct, frozen=True):
    """An annotated frame.

    Attributes:
        jpeg_base64: The picture.
        found: ``"2 person, 1 bus"``.
    """

    name: str
    jpeg_base64: str
    found: str


class Pictures(msgspec.Struct, tag=True, frozen=True):
    """Answer to :class:`Draw`."""

    pictures: tuple[Picture, ...]


class Failed(msgspec.Struct, tag=True, frozen=True):
    """An error of ``edgeyolo.errors``, by name."""

    error: str
    message: str


Answer = Opened | Times | Streamed | Memory | Pictures | Failed
