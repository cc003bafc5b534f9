"""What a training ran with: versions, machine, and the state of the source tree."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch

_PACKAGES = (
    "edgeyolo",
    "torch",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "faster-coco-eval",
)


def environment(device: torch.device) -> dict[str, object]:
    """Plain data for ``environment.json``."""
    versions = {package: _version(package) for package in _PACKAGES}
    machine: dict[str, object] = {
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": str(device),
    }
    if device.type == "cuda":
        machine["gpu"] = torch.cuda.get_device_name(device)
        machine["cuda"] = torch.version.cuda
    return {
        "python": sys.version.split()[0],
        "packages": versions,
        "machine": machine,
        "git": git_state(Path(__file__).parent),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_state(folder: Path) -> dict[str, object] | None:
    """Commit and whether files are changed; ``None`` outside a work tree or without git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return {"commit": commit, "changed_files": len(changed.splitlines())}


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=10,
    )
    return done.stdout.strip()
