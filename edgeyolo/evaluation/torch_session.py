"""The PyTorch model behind the session protocol: the reference that exported files must equal.

It shares nothing with the export graph: pixels are converted by numpy (``letterbox.normalize``)
and heads are decoded by the model's own official decode.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgeyolo.contract import InputSpec, OutputSpec, Thresholds
from edgeyolo.errors import BackendError, one_line
from edgeyolo.families import FAMILIES
from edgeyolo.letterbox import normalize
from edgeyolo.models.detector import Detector
from edgeyolo.predictor import Predictor
from edgeyolo.spec import Layout, ModelSpec, OutputKind


def torch_device(name: str) -> torch.device:
    """The device of a word that all commands take: ``cpu``, ``gpu``, ``cuda:1``; auto is the CPU.

    Raises:
        BackendError: PyTorch does not know it, or cannot compute on it here.
    """
    word, colon, number = name.lower().partition(":")
    word = {"auto": "cpu", "gpu": "cuda"}.get(word, word)
    try:
        # A name that PyTorch knows is no device yet: builds have any subset of some twenty.
        device = torch.device(f"{word}{colon}{number}")
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        reason = str(error).split(". ")[0].splitlines()[0]
        raise BackendError(
            f"PyTorch has no device {name!r} here ({one_line(reason, limit=120)}); it has: "
            f"{', '.join(['cpu', *devices])}"
        ) from error
    return device


class TorchSession:
    """A detector that takes (B, H, W, 3) uint8 BGR pixels and gives boxes and scores.

    It computes in the type of the model's weights.
    """

    def __init__(self, model: Detector, spec: ModelSpec, device: str = "cpu") -> None:
        self._device = torch_device(device)
        self._model = model.to(self._device).eval()
        self._spec = spec
        self._dtype = next(model.parameters()).dtype

    @property
    def device(self) -> str:
        return str(self._device)

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        return self.infer(normalize(batch, self._spec.preprocess, Layout.NCHW))

    def infer(self, tensor: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes and scores of (B, 3, H, W) float32, already preprocessed."""
        with torch.inference_mode():
            x = torch.from_numpy(tensor).to(self._device, self._dtype)
            decoded = self._model.decode(self._model(x)).float().cpu().numpy()
        centre_xy, half_wh = decoded[..., :2], decoded[..., 2:4] * np.float32(0.5)
        boxes_xyxy = np.concatenate((centre_xy - half_wh, centre_xy + half_wh), axis=-1)
        objectness = decoded[..., 4:5]
        alone = self._spec.num_classes == 1 and FAMILIES[self._spec.family].objectness_alone
        scores = objectness if alone else objectness * decoded[..., 5:]
        return boxes_xyxy, np.ascontiguousarray(scores)

    def close(self) -> None:
        """Nothing to free."""


def exact_session(model: Detector, spec: ModelSpec) -> TorchSession:
    """The same computed in float64, rounded to float32 at the end; *model* stays as it is."""
    return TorchSession(copy.deepcopy(model).double(), spec)


def torch_predictor(
    model: Detector,
    spec: ModelSpec,
    *,
    device: str = "cpu",
    thresholds: Thresholds | None = None,
) -> Predictor:
    """A predictor that runs the PyTorch model itself, through the same host code as artifacts."""
    return Predictor(
        TorchSession(model, spec, device),
        model=spec,
        input=InputSpec(
            name="images",
            layout=Layout.NHWC,
            dtype="uint8",
            preprocessed_in_graph=True,
            batch=None,
        ),
        output=OutputSpec(kind=OutputKind.DECODED, names=("boxes", "scores")),
        thresholds=thresholds,
    )
