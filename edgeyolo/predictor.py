"""``load(path)`` gives a ``Predictor``: frames in, detections out, without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo import contract as contracts
from edgeyolo.artifact import load_artifact
from edgeyolo.contract import Contract, InputSpec, OutputSpec, Thresholds
from edgeyolo.detections import Detections
from edgeyolo.errors import ArtifactError, BackendError, ContractMissingError
from edgeyolo.families import FAMILIES
from edgeyolo.families.rules import EvaluationSettings
from edgeyolo.letterbox import Placement
from edgeyolo.outputs import check_outputs
from edgeyolo.preparation import Preparer
from edgeyolo.runtimes import probe as probes
from edgeyolo.runtimes.catalog import RUNTIMES, backend_of
from edgeyolo.runtimes.session import Session, SessionOptions, pictures_per_call
from edgeyolo.spec import Layout, ModelSpec, OutputKind
from edgeyolo.suppression import Suppressed, suppress

if TYPE_CHECKING:
    from edgeyolo.sources import FrameSource, SourceOptions
    from edgeyolo.stream import Stream, StreamMode


def load(
    path: str | Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    cache_dir: Path | None = None,
    cuda_graph: bool = False,
    probe: bool | None = None,
) -> Predictor:
    """Load an artifact, or a lone vendor file with an embedded contract.

    Args:
        path: Artifact folder, or an ``.onnx``, ``.xml`` or ``.tflite`` file.
        device: ``"auto"``, ``"cpu"``, ``"gpu"`` or a vendor's own device name.
        threads: CPU threads for the network; the vendor's default where ``None``.
        cache_dir: Where compiled models may be kept between processes.
        cuda_graph: TensorRT replays each call as one CUDA graph.
        probe: Open the file in a process of its own first, so that a file on which the vendor's
            library crashes is refused. By default that is done for lone files, whose content
            nothing vouches for; it costs a fraction of a second.

    Raises:
        ArtifactError: Not an artifact, altered, or without a contract.
        MissingPackageError: The backend's package is not installed.
        BackendError: The vendor library refuses the file or the device.
    """
    options = SessionOptions(
        device=device, threads=threads, cache_dir=cache_dir, cuda_graph=cuda_graph
    )
    file, contract = locate(Path(path))
    if not contract.files if probe is None else probe:
        probes.probe(file, contract, options)
    session = open_session(file, contract, options)
    return Predictor(
        session,
        model=contract.model,
        input=contract.input,
        output=contract.output,
        thresholds=contract.thresholds,
        contract=contract,
    )


def locate(path: Path) -> tuple[Path, Contract]:
    """The model file under *path* and its contract, digests checked."""
    if path.is_dir():
        artifact = load_artifact(path)
        return artifact.entry, artifact.contract
    if not path.exists():
        raise ArtifactError(f"{path} does not exist")
    if _is_entry(path):
        artifact = load_artifact(path.parent)
        return artifact.entry, artifact.contract
    return path, lone_contract(path)


def _is_entry(file: Path) -> bool:
    """Whether the artifact around *file*, should there be one, opens this very file."""
    try:
        return load_artifact(file.parent, check_digests=False).contract.entry == file.name
    except ArtifactError:
        # Of an altered contract, too: the file is then judged by the one that it carries.
        return False


def lone_contract(file: Path) -> Contract:
    """The contract inside a vendor file.

    Raises:
        ContractMissingError: There is none.
    """
    backend = backend_of(file)
    if backend is None or backend not in RUNTIMES:
        raise ArtifactError(
            f"{file} is neither an artifact folder nor a model file "
            "(.onnx, .xml, .tflite); make one with: edgeyolo export"
        )
    text = RUNTIMES[backend].read_contract(file)
    if text is None:
        raise ContractMissingError(
            f"{file} carries no edgeyolo contract, so its colour order, scaling, outputs and class "
            "names are unknown; export it with edgeyolo, or describe an ONNX file with: "
            "edgeyolo adopt FILE --family yolox|yolov7"
        )
    return contracts.decode(text, origin=str(file))


def open_session(file: Path, contract: Contract, options: SessionOptions) -> Session:
    """Open a model file with the runtime that its contract names."""
    return RUNTIMES[contract.backend].open(file, contract, options)


class Predictor:
    """Finds objects in frames. Not for use by several threads at once; load one for each.

    Args:
        session: Any object with the session protocol: a vendor's, or the PyTorch model itself.
        model: What the detector is.
        input: Its input tensor.
        output: Its output tensors.
        thresholds: Used where a call gives none.
        contract: The whole contract, where there is one.
    """

    def __init__(
        self,
        session: Session,
        *,
        model: ModelSpec,
        input: InputSpec,
        output: OutputSpec,
        thresholds: Thresholds | None = None,
        contract: Contract | None = None,
    ) -> None:
        self.session = session
        self.model = model
        self.input = input
        self.output = output
        self.thresholds = thresholds or Thresholds()
        self.contract = contract
        self._rules = FAMILIES[model.family]
        self._least, self._most = pictures_per_call(session, input.batch)
        self._preparer = self._new_preparer()
        self._abandon_stream: Callable[[], None] | None = None
        self._closed = False

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.model.class_names

    def predict(
        self,
        frame_bgr: NDArray[Any],
        *,
        min_score: float | None = None,
        iou_threshold: float | None = None,
        max_detections: int | None = None,
    ) -> Detections:
        """Find objects in one frame.

        Args:
            frame_bgr: (H, W, 3) uint8, BGR, any size; grey (H, W) and BGRA are converted.
            min_score: Least score, 0..1; the artifact's default (0.25 unless exported otherwise).
            iou_threshold: Of two boxes of one class with a greater IoU the lower-scored one is
                dropped; the artifact's default (0.45).
            max_detections: Most objects returned; the artifact's default (300).

        Returns:
            Boxes in pixels of *frame_bgr*, highest score first. The arrays are copies.

        Raises:
            ValueError: *frame_bgr* is no picture, or a threshold is outside 0..1.
            BackendError: The vendor library failed.
        """
        return self.predict_batch(
            [frame_bgr],
            min_score=min_score,
            iou_threshold=iou_threshold,
            max_detections=max_detections,
        )[0]

    def predict_batch(
        self,
        frames_bgr: Sequence[NDArray[Any]],
        *,
        min_score: float | None = None,
        iou_threshold: float | None = None,
        max_detections: int | None = None,
    ) -> list[Detections]:
        """Find objects in several frames, which may differ in size.

        A file that takes a fixed number of pictures, or a range, is called as often as needed; a
        last batch that is too small is filled up with grey pictures. Arguments, result and errors
        as for :meth:`predict`.
        """
        return self.detect(frames_bgr, self.settings(min_score, iou_threshold, max_detections))

    def stream(
        self,
        *sources: int | str | Path | FrameSource,
        mode: StreamMode | None = None,
        options: SourceOptions | None = None,
        min_score: float | None = None,
        iou_threshold: float | None = None,
        max_detections: int | None = None,
    ) -> Stream:
        """Find objects in all frames of one or several sources, everything overlapped.

        Capture, preprocessing, the network and postprocessing run at the same time; results come
        in the order of the frames. Iterate over the result, and close it or use it in a ``with``
        block::

            with predictor.stream(0) as stream:
                for result in stream:
                    print(result.frame_age_ms, result.detections.names)

        Args:
            sources: What :func:`edgeyolo.sources.open_source` takes, or sources that are open.
            mode: ``StreamMode.LATENCY`` takes the newest frame and drops older ones,
                ``StreamMode.THROUGHPUT`` takes every frame. By default latency if all sources are
                live, else throughput; to know that, network streams are connected at once.
            options: For cameras and network streams.
            min_score, iou_threshold, max_detections: As for :meth:`predict`.

        Returns:
            An iterator of :class:`~edgeyolo.stream.StreamResult`. While it is open this predictor
            does nothing else.

        Raises:
            SourceError: There is no such source, or a network stream is not there. What fails
                later is raised by the iteration, once.
            ValueError: Latency mode for a source that is not live, or a threshold outside 0..1.
        """
        from edgeyolo.stream import Stream

        self._check_open()
        return Stream(
            self,
            sources,
            mode=mode,
            options=options,
            settings=self.settings(min_score, iou_threshold, max_detections),
        )

    def settings(
        self,
        min_score: float | None = None,
        iou_threshold: float | None = None,
        max_detections: int | None = None,
    ) -> EvaluationSettings:
        """What :meth:`predict` uses, defaults filled in.

        Raises:
            ValueError: A threshold is impossible, or beyond what the file itself keeps.
        """
        defaults = self.thresholds
        chosen = EvaluationSettings(
            min_score=defaults.min_score if min_score is None else min_score,
            score_inclusive=True,
            iou_threshold=defaults.iou_threshold if iou_threshold is None else iou_threshold,
            multi_label=False,
            max_detections=defaults.max_detections if max_detections is None else max_detections,
            clip_boxes=True,
        )
        self._check(chosen)
        return chosen

    def evaluate(self, frame_bgr: NDArray[Any]) -> Detections:
        """Find objects with the family's official evaluation settings (very low scores too)."""
        return self.detect([frame_bgr], self._rules.evaluation)[0]

    def detect(
        self, frames_bgr: Sequence[NDArray[Any]], settings: EvaluationSettings
    ) -> list[Detections]:
        """Find objects with every setting given."""
        self._check(settings)
        self._check_open()
        if self.streaming:
            raise RuntimeError("this predictor is streaming; load another one, or close the stream")
        found: list[Detections] = []
        size = self._most or max(1, len(frames_bgr))
        for start in range(0, len(frames_bgr), size):
            frames = frames_bgr[start : start + size]
            batch, placements = self.prepare(frames)
            outputs = self.session.run(batch)
            found.extend(
                self.finish(outputs, index, placement, settings)
                for index, placement in enumerate(placements)
            )
        return found

    @property
    def pictures_per_call(self) -> tuple[int, int | None]:
        """Least and most pictures that the file takes at once; ``None`` for any number."""
        return self._least, self._most

    def _new_preparer(self) -> Preparer:
        """Buffers of their own; for :class:`~edgeyolo.stream.Stream`, too."""
        return Preparer(self.model.preprocess, self.input, self._least)

    def prepare(self, frames_bgr: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], list[Placement]]:
        """Letterbox frames into the network's input tensor.

        Returns:
            The tensor, which is reused by the next call, and where each frame lies on it.
        """
        return self._preparer.prepare(frames_bgr)

    def finish(
        self,
        outputs: Sequence[NDArray[np.float32]],
        index: int,
        placement: Placement,
        settings: EvaluationSettings,
    ) -> Detections:
        """Turn the network's outputs for picture *index* into detections in frame pixels."""
        found = self._suppressed(outputs, index, settings)
        boxes_xyxy = placement.undo(found.boxes_xyxy, clip=settings.clip_boxes)
        if np.isnan(boxes_xyxy).any():
            raise BackendError(
                "the model gives boxes that are not numbers (NaN); its file is damaged, or half "
                "precision overflows in it: compare it with its checkpoint by edgeyolo verify"
            )
        return Detections(boxes_xyxy, found.scores, found.class_ids, self.class_names)

    @property
    def streaming(self) -> bool:
        """Whether a stream is open; then the session belongs to its thread."""
        return self._abandon_stream is not None

    def _begin_stream(self, abandon: Callable[[], None]) -> None:
        """For :class:`~edgeyolo.stream.Stream`: it uses the session from here on.

        Args:
            abandon: Stops the stream and waits until it lets go of the session; for :meth:`close`.
        """
        self._abandon_stream = abandon

    def _end_stream(self) -> None:
        """For :class:`~edgeyolo.stream.Stream`: it does not touch the session any more."""
        self._abandon_stream = None

    def close(self) -> None:
        """Free the model. A stream that is still open is stopped first, and its loop told so."""
        if self._abandon_stream is not None:
            self._abandon_stream()
        self._closed = True
        self.session.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this predictor is closed; load the artifact again")

    def _suppressed(
        self, outputs: Sequence[NDArray[np.float32]], index: int, settings: EvaluationSettings
    ) -> Suppressed:
        check_outputs(outputs, self.output, self.model, index + 1)
        if self.output.kind is OutputKind.SUPPRESSED:
            return _rows_of(outputs[0], index, settings, self.model.num_classes)
        if self.output.kind is OutputKind.DECODED:
            boxes_xyxy, scores = outputs[0][index], outputs[1][index]
        else:
            heads = [self._as_nhwc(output[index : index + 1]) for output in outputs]
            boxes_xyxy, scores = self._rules.candidates(
                heads,
                self.model,
                picture=0,
                min_score=settings.min_score,
                activated=self.output.activated,
            )
        return suppress(
            boxes_xyxy,
            scores,
            min_score=settings.min_score,
            iou_threshold=settings.iou_threshold,
            max_detections=settings.max_detections,
            multi_label=settings.multi_label,
            inclusive=settings.score_inclusive,
        )

    def _as_nhwc(self, head: NDArray[np.float32]) -> NDArray[np.float32]:
        return head if self.output.layout is Layout.NHWC else head.transpose(0, 2, 3, 1)

    def _check(self, settings: EvaluationSettings) -> None:
        for name in ("min_score", "iou_threshold"):
            value = getattr(settings, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must be within 0..1, got {value}")
        if settings.max_detections is not None and settings.max_detections < 1:
            raise ValueError(f"max_detections must be at least 1, got {settings.max_detections}")
        check_inside(self.output, self.thresholds, settings)


def check_inside(output: OutputSpec, inside: Thresholds, settings: EvaluationSettings) -> None:
    """Raise ``ValueError`` where suppression inside a model file cannot be held to *settings*."""
    if output.kind is OutputKind.SUPPRESSED and (
        settings.min_score < inside.min_score
        or settings.iou_threshold != inside.iou_threshold
        or (settings.max_detections or math.inf) > inside.max_detections
        or settings.multi_label
    ):
        raise ValueError(
            f"suppression is inside this model file, with min_score {inside.min_score}, "
            f"iou_threshold {inside.iou_threshold}, max_detections {inside.max_detections} and "
            "one class a box; a lower score, another overlap, more objects or several classes "
            "need a file exported without it (no --nms)"
        )


def _rows_of(
    rows: NDArray[np.float32], index: int, settings: EvaluationSettings, num_classes: int
) -> Suppressed:
    """Rows of picture *index* out of a SUPPRESSED output, highest score first."""
    places = np.flatnonzero((rows[:, 0] == index) & (rows[:, 5] >= settings.min_score))
    order = np.argsort(-rows[places, 5], kind="stable")[: settings.max_detections]
    places = places[order]
    rows = rows[places]
    class_ids = rows[:, 6].astype(np.int64)
    if ((class_ids < 0) | (class_ids >= num_classes)).any():
        raise BackendError(
            f"the model gives class {class_ids.min() if class_ids.min() < 0 else class_ids.max()}, "
            f"its contract has {num_classes} classes; the file and its contract do not belong "
            "together, export the model again"
        )
    return Suppressed(rows[:, 1:5].copy(), rows[:, 5].copy(), class_ids, places)
