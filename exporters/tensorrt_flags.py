"""Precision for every TensorRT from 8.6 to 11: which network, which flags.

=============  ==================  =============================  =====================
TensorRT       network             creation flags                 builder flags
=============  ==================  =============================  =====================
8.x            float32 (Q/DQ)      EXPLICIT_BATCH                 FP16; INT8 and FP16
10.x           typed by casts      STRONGLY_TYPED                 none
10.x with DLA  float32             none                           FP16, GPU_FALLBACK
11, RTX        typed by casts      none (always strongly typed)   none
=============  ==================  =============================  =====================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edgeyolo.errors import UnsupportedError
from edgeyolo.runtimes.tensorrt_modules import TensorRt
from edgeyolo.spec import Precision


class Typing(str, Enum):
    """Who decides the precision of a layer.

    STRONG: The types of the network's tensors.
    WEAK: TensorRT, within what flags allow and what single layers are held to.
    """

    STRONG = "strong"
    WEAK = "weak"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class BuildFlags:
    """Names of enum members, of the version asked for.

    Attributes:
        creation: Of ``NetworkDefinitionCreationFlag``.
        builder: Of ``BuilderFlag``, to set.
        cleared: Of ``BuilderFlag``, to clear (on by default).
    """

    typing: Typing
    creation: tuple[str, ...]
    builder: tuple[str, ...]
    cleared: tuple[str, ...]


def choose_flags(trt: TensorRt, precision: Precision, *, dla: bool = False) -> BuildFlags:
    """What to set so that a network runs at *precision*, and nothing beyond.

    Raises:
        UnsupportedError: DLA at a precision that it does not have there.
    """
    if dla:
        _check_dla(trt, precision)
    # TF32 rounds products to 10 bits; FP32 here means FP32.
    cleared = ("TF32",) if precision is Precision.FP32 else ()
    fallback = ("GPU_FALLBACK",) if dla else ()
    if trt.always_strongly_typed:
        return BuildFlags(Typing.STRONG, (), fallback, cleared)
    if trt.can_be_strongly_typed and not dla:
        return BuildFlags(Typing.STRONG, ("STRONGLY_TYPED",), (), cleared)
    # Since 10 every batch is explicit and the flag deprecated.
    creation = ("EXPLICIT_BATCH",) if trt.release < (10,) else ()
    precisions = {
        Precision.FP32: (),
        Precision.FP16: ("FP16", "OBEY_PRECISION_CONSTRAINTS"),
        Precision.INT8: ("INT8", "FP16", "OBEY_PRECISION_CONSTRAINTS"),
    }[precision]
    return BuildFlags(Typing.WEAK, creation, precisions + fallback, cleared)


def _check_dla(trt: TensorRt, precision: Precision) -> None:
    if trt.is_rtx:
        raise UnsupportedError(f"{trt} has no DLA; DLA is part of Jetson Xavier and Orin")
    if precision is not Precision.FP16:
        raise UnsupportedError(
            f"a DLA runs fp16 here, not {precision}: it has no FP32, and Q/DQ networks run on "
            "the GPU; export with --precision fp16"
        )
