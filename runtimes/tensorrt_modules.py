"""``tensorrt`` or ``tensorrt_rtx``: which is installed, and what its version can do.

The two modules are one API. TensorRT 8.6 to 11 differ in what they still or already have; the
differences that matter here are answered by :class:`TensorRt`, from the module itself.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Any

from edgeyolo.errors import BackendError, MissingPackageError, UnsupportedError, one_line

TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt_rtx"
OLDEST = (8, 6)

_HOW_TO_GET = {
    TENSORRT: (
        "on a Jetson it comes with JetPack (apt: python3-libnvinfer; in a venv use "
        "--system-site-packages), elsewhere install the version that your driver supports from "
        "NVIDIA (docs/tensorrt.md)"
    ),
    TENSORRT_RTX: "on a PC with an RTX GPU run: pip install 'edgeyolo[tensorrt-rtx]'",
}


@dataclass(frozen=True, slots=True)
class TensorRt:
    """An imported module and what it can do.

    Attributes:
        module: The vendor's module.
        name: ``"tensorrt"`` or ``"tensorrt_rtx"``.
        version: Its version as the module says it.
    """

    module: Any
    name: str
    version: str

    @property
    def release(self) -> tuple[int, ...]:
        """The leading numbers of the version: (10, 3, 0)."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version)[:3])

    @property
    def is_rtx(self) -> bool:
        return self.name == TENSORRT_RTX

    @property
    def always_strongly_typed(self) -> bool:
        """Whether tensor types alone decide precision; the flag to ask for it is deprecated."""
        return self.is_rtx or self.release >= (11,)

    @property
    def can_be_strongly_typed(self) -> bool:
        return self.has_member("NetworkDefinitionCreationFlag", "STRONGLY_TYPED")

    @property
    def has_timing_cache(self) -> bool:
        """TensorRT for RTX compiles on the device when it loads; its timing cache is a no-op."""
        return not self.is_rtx

    def has_member(self, enum: str, member: str) -> bool:
        return member in getattr(self.module, enum).__members__

    def member(self, enum: str, member: str) -> Any:
        """A member of one of the module's enums.

        Raises:
            UnsupportedError: This version has none of that name.
        """
        members = getattr(self.module, enum).__members__
        if member not in members:
            raise UnsupportedError(f"{self} has no {enum}.{member}")
        return members[member]

    def __str__(self) -> str:
        return f"{'TensorRT for RTX' if self.is_rtx else 'TensorRT'} {self.version}"


def pick_tensorrt(name: str | None = None) -> TensorRt:
    """The module *name*, or the first that is installed.

    Raises:
        MissingPackageError: Not installed, or a part of it does not load.
        UnsupportedError: Older than 8.6.
    """
    wanted = (name,) if name else (TENSORRT, TENSORRT_RTX)
    for candidate in wanted:
        if candidate not in _HOW_TO_GET:
            raise UnsupportedError(f"no TensorRT module is called {candidate!r}")
        found = _import(candidate)
        if found is not None:
            return found
    if name:
        raise MissingPackageError(f"{name} is not installed; {_HOW_TO_GET[name]}")
    raise MissingPackageError(
        f"neither tensorrt nor tensorrt_rtx is installed; {_HOW_TO_GET[TENSORRT]}; "
        f"{_HOW_TO_GET[TENSORRT_RTX]}"
    )


def _import(name: str) -> TensorRt | None:
    try:
        module = importlib.import_module(name)
        version = str(module.__version__)
    except ModuleNotFoundError as error:
        if error.name == name:
            return None
        raise MissingPackageError(f"{name} does not load: {one_line(error)}") from error
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        # The registry's stub packages and missing libnvinfer end here.
        raise MissingPackageError(
            f"{name} is installed but does not load ({one_line(error)}); {_HOW_TO_GET[name]}"
        ) from error
    found = TensorRt(module, name, version)
    if not found.is_rtx and found.release < OLDEST:
        raise UnsupportedError(f"{found} is older than 8.6, the oldest that works; update it")
    return found


def make(trt: TensorRt, what: str, *args: Any) -> Any:
    """Construct one of the module's objects.

    Raises:
        BackendError: The library gave none. Without a usable GPU TensorRT's constructors return
            null, which its bindings report as ``TypeError``.
    """
    try:
        made = getattr(trt.module, what)(*args)
    except (TypeError, RuntimeError) as error:
        raise BackendError(f"{trt} cannot create a {what}: {one_line(error)}") from error
    if made is None:
        raise BackendError(f"{trt} cannot create a {what}")
    return made
