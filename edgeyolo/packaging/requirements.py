"""The requirements file of a package: this runtime, at the version at hand."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping

from edgeyolo.contract import Contract
from edgeyolo.errors import MissingPackageError
from edgeyolo.spec import Backend

# Backend -> packages that provide it, the preferred one first, and the extra that installs it.
_RUNTIMES: Mapping[Backend, tuple[tuple[str, ...], str]] = {
    Backend.ONNX: (("onnxruntime", "onnxruntime-gpu"), "onnx"),
    Backend.OPENVINO: (("openvino",), "openvino"),
    Backend.TFLITE: (("ai-edge-litert", "tflite-runtime"), "tflite"),
}
_OWN = ("numpy", "msgspec", "click")
_OPENCV = ("opencv-python", "opencv-python-headless")
_OLDEST_OPENCV = ">=4.8"


def requirements(contract: Contract) -> str:
    """Text of ``requirements.txt``.

    The runtime is pinned everywhere; what edgeyolo itself needs only under this Python, since other
    versions of Python have other wheels. There edgeyolo's own limits hold, and OpenCV, which
    edgeyolo leaves to its user, is asked for without a version. A TensorRT artifact goes to a
    Jetson as well, whose OpenCV comes with JetPack and was built for numpy 1.

    Raises:
        MissingPackageError: The artifact's runtime is not installed here, so which version it
            works with is not known.
    """
    from edgeyolo import __version__

    python = ".".join(platform.python_version_tuple()[:2])
    lines = [
        f"# Versions of the computer that made this package: Python {python}, "
        f"{platform.system()} {platform.machine()}.",
        f"edgeyolo=={__version__}",
        _runtime(contract),
    ]
    # On Arm the system's OpenCV and a numpy for it; a wheel would hide JetPack's.
    on_jetson = contract.backend is Backend.TENSORRT and not _is_rtx(contract)
    where = ' and platform_machine != "aarch64"' if on_jetson else ""
    for name in _OWN:
        found = _first((name,))
        if found is not None:
            elsewhere = where if name == "numpy" else ""
            lines.append(f'{found[0]}=={found[1]}; python_version == "{python}"{elsewhere}')
    name, version = _first(_OPENCV) or (_OPENCV[0], None)
    if version is None:
        lines.append(f"{name}{_OLDEST_OPENCV}{where.replace(' and', ';', 1)}")
    else:
        lines.append(f'{name}=={version}; python_version == "{python}"{where}')
        lines.append(f'{name}{_OLDEST_OPENCV}; python_version != "{python}"{where}')
    if on_jetson:
        lines += [
            "# On a Jetson: sudo apt install python3-libnvinfer python3-opencv, and a virtual",
            "# environment made with: python3 -m venv --system-site-packages",
            # JetPack 6 has Python 3.10, 7 has 3.12; for 3.13 there is no wheel of numpy 1.
            'numpy<2; platform_machine == "aarch64" and python_version < "3.13"',
        ]
    return "\n".join(lines) + "\n"


def _runtime(contract: Contract) -> str:
    if contract.backend is Backend.TENSORRT:
        target = contract.build_target
        if target is not None and _is_rtx(contract):
            return f"tensorrt-rtx-cu13=={target.version}"
        version = f" {target.version}" if target else ""
        return f"# TensorRT{version} comes with the device (JetPack, or NVIDIA's packages)."
    candidates, extra = _RUNTIMES[contract.backend]
    found = _first(candidates)
    if found is None:
        raise MissingPackageError(
            f"{candidates[0]} is not installed here, so there is no version to pin; run: "
            f"pip install 'edgeyolo[{extra}]'"
        )
    return f"{found[0]}=={found[1]}"


def _is_rtx(contract: Contract) -> bool:
    target = contract.build_target
    return target is not None and target.module == "tensorrt_rtx"


def _first(names: tuple[str, ...]) -> tuple[str, str] | None:
    """The first of these packages that is installed, with its public version."""
    for name in names:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        if version:
            # A local part ("+cpu") is not on any index.
            return name, version.split("+")[0]
    return None
