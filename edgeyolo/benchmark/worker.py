"""The process that measures one artifact: ``python -m edgeyolo.benchmark.worker``.

Each artifact has a process of its own, so that memory and start-up are its own and a vendor library
that crashes takes nothing with it. Processes take turns; whoever is not asked sleeps in a read.
"""

from __future__ import annotations

import base64
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeyolo.artifact import sha256_of
from edgeyolo.benchmark.messages import (
    Answer,
    Draw,
    Failed,
    Look,
    Memory,
    Open,
    Opened,
    Picture,
    Pictures,
    Request,
    Run,
    Streamed,
    Times,
    Turn,
)
from edgeyolo.benchmark.power import UNKNOWN_GPU
from edgeyolo.benchmark.resident import ResidentFrames, first_frames
from edgeyolo.drawing import draw
from edgeyolo.errors import BackendError, EdgeYoloError
from edgeyolo.pictures import encode_picture
from edgeyolo.predictor import load, locate
from edgeyolo.runtimes.cuda_driver import pci_address
from edgeyolo.runtimes.session import ResidentSession
from edgeyolo.spec import Backend

_JPEG_QUALITY = 80


def gpu_address(backend: Backend, device: str) -> str | None:
    """See :attr:`Opened.gpu`.

    Args:
        backend: OpenVINO's GPUs are Intel's.
        device: As the session names it: ``"GPU:1 Tesla T4"``, ``"CUDA"``, ``"CPU"``.
    """
    found = re.match(r"(?:GPU|CUDA|TENSORRT)(?::(\d+))?", device)
    if backend not in (Backend.TENSORRT, Backend.ONNX) or found is None:
        return None
    try:
        return pci_address(int(found[1] or 0))
    except BackendError:
        return UNKNOWN_GPU


class Worker:
    """One loaded artifact and its frames."""

    def __init__(self, request: Open) -> None:
        named = first_frames(request.source, request.frames)
        self._names = [name for name, _ in named]
        self._frames_bgr = [frame_bgr for _, frame_bgr in named]
        before_mb = memory().resident_mb
        entry, contract = locate(Path(request.artifact))
        started_s = time.perf_counter()
        self._predictor = load(request.artifact, device=request.device, threads=request.threads)
        loaded_s = time.perf_counter()
        self._predictor.predict(self._frames_bgr[0])
        first_s = time.perf_counter()
        self.opened = Opened(
            contract=contract,
            device=self._predictor.session.device,
            gpu=gpu_address(contract.backend, self._predictor.session.device),
            entry_sha256=sha256_of(entry),
            entry_bytes=model_bytes(entry, contract.files),
            load_ms=(loaded_s - started_s) * 1e3,
            first_ms=(first_s - loaded_s) * 1e3,
            before_mb=before_mb,
            frame_hw=(self._frames_bgr[0].shape[0], self._frames_bgr[0].shape[1]),
            frames=len(self._frames_bgr),
            # As many pictures as a call takes, so that a batch is not padding.
            batch=self._predictor.pictures_per_call[0],
        )
        resident = [self._frames_bgr[index % len(named)] for index in range(self.opened.batch)]
        self._tensor = self._predictor.prepare(resident)[0].copy()

    def answer(self, request: Run | Draw | Look) -> Answer:
        if isinstance(request, Look):
            return memory()
        if isinstance(request, Draw):
            return Pictures(tuple(self._drawn(index, request) for index in range(request.count)))
        if request.turn is Turn.STREAM:
            return self._streamed(request.seconds)
        if request.turn is Turn.STAGES:
            return self._stages(request.seconds)
        if request.turn is Turn.BARE:
            bare = self._bare_call()
            return _repeated(request, lambda _: bare())
        frames = self._frames_bgr
        return _repeated(
            request, lambda index: self._predictor.predict(frames[index % len(frames)])
        )

    def _bare_call(self) -> Callable[[], object]:
        """The network alone, on a tensor that lies where the network reads it."""
        session = self._predictor.session
        if isinstance(session, ResidentSession):
            return session.resident(self._tensor)
        return lambda: session.run(self._tensor)

    def _stages(self, seconds: float) -> Times:
        predictor, settings = self._predictor, self._predictor.settings()
        predictor.predict(self._frames_bgr[0])
        times: dict[str, list[float]] = {"prepare": [], "network": [], "finish": []}
        ends_s = time.perf_counter() + seconds
        index = 0
        while (started_s := time.perf_counter()) < ends_s or not index:
            frame_bgr = self._frames_bgr[index % len(self._frames_bgr)]
            tensor, placements = predictor.prepare([frame_bgr])
            prepared_s = time.perf_counter()
            outputs = predictor.session.run(tensor)
            ran_s = time.perf_counter()
            predictor.finish(outputs, 0, placements[0], settings)
            finished_s = time.perf_counter()
            times["prepare"].append((prepared_s - started_s) * 1e3)
            times["network"].append((ran_s - prepared_s) * 1e3)
            times["finish"].append((finished_s - ran_s) * 1e3)
            index += 1
        return Times(times)

    def _streamed(self, seconds: float) -> Streamed:
        with self._predictor.stream(ResidentFrames(self._frames_bgr, seconds)) as stream:
            # The threads start, and the first frames find the pipeline empty.
            next(stream)
            moments_s = [time.perf_counter()]
            moments_s.extend(time.perf_counter() for _ in stream)
        return Streamed([(later - earlier) * 1e3 for earlier, later in pairwise(moments_s)])

    def _drawn(self, index: int, request: Draw) -> Picture:
        frame_bgr = self._frames_bgr[index % len(self._frames_bgr)]
        detections = self._predictor.predict(frame_bgr)
        picture = _within(draw(frame_bgr, detections), request.max_side)
        jpeg = encode_picture(picture, ".jpg", quality=_JPEG_QUALITY)
        counts = Counter(detections.names).most_common()
        return Picture(
            name=self._names[index % len(self._names)],
            jpeg_base64=base64.b64encode(jpeg).decode(),
            found=", ".join(f"{count} {name}" for name, count in counts) or "nothing",
        )


def memory() -> Memory:
    """Of this process, as the kernel counts it."""
    words = Path("/proc/self/status").read_text().split()
    resident, peak = (int(words[words.index(name) + 1]) / 1024 for name in ("VmRSS:", "VmHWM:"))
    return Memory(resident, peak)


def model_bytes(entry: Path, files: dict[str, str]) -> int:
    """Size of all files that the artifact needs; of a lone OpenVINO file with its weights."""
    if files:
        return sum((entry.parent / name).stat().st_size for name in files)
    weights = entry.with_suffix(".bin")
    own = entry.stat().st_size
    return own + (weights.stat().st_size if entry.suffix == ".xml" and weights.is_file() else 0)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the requests end."""
    worker: Worker | None = None
    for line in requests:
        request = msgspec.json.decode(line, type=Request)
        answer: Answer
        try:
            if isinstance(request, Open):
                worker = Worker(request)
                answer = worker.opened
            else:
                assert worker is not None, "the first request opens an artifact"
                answer = worker.answer(request)
        except EdgeYoloError as error:
            answer = Failed(type(error).__name__, str(error))
        answers.write(msgspec.json.encode(answer) + b"\n")
        answers.flush()


def main() -> None:
    # Vendors print to stdout; the answers keep the real one.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Ctrl-C reaches the whole group; who asked says so, and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.stdin.buffer, answers)


def _repeated(request: Run, call: Callable[[int], object]) -> Times:
    # Other processes had the caches meanwhile.
    call(0)
    times_ms: list[float] = []
    ends_s = time.perf_counter() + request.seconds
    while (started_s := time.perf_counter()) < ends_s or not times_ms:
        call(len(times_ms))
        times_ms.append((time.perf_counter() - started_s) * 1e3)
    return Times({request.turn.value: times_ms})


def _within(picture: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    import cv2

    scale = max_side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size_wh = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    main()
