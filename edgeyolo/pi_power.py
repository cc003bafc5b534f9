"""Supply and heat of a Raspberry Pi, as its firmware tells them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edgeyolo.machine import ROOT

# Bits of get_throttled; the same 16 bits up mean "has been so since the start".
_BITS = ("under-voltage", "clock capped", "throttled", "soft temperature limit")


@dataclass(frozen=True, slots=True)
class PiPower:
    """What slows a Raspberry Pi down.

    Attributes:
        now: What is so at this moment: ``"under-voltage"``, ``"clock capped"``, ``"throttled"``,
            ``"soft temperature limit"``.
        since_start: What has been so since the board was started.
    """

    now: tuple[str, ...]
    since_start: tuple[str, ...]


def pi_power(root: Path = ROOT) -> PiPower | None:
    """The state of the supply; ``None`` on a machine that does not tell it.

    Args:
        root: Where ``/sys`` lies; ``vcgencmd`` is asked for the true root only.
    """
    text = _vcgencmd() if root == ROOT else ""
    # Older kernels; newer ones warn in their log of whoever reads this file, so it comes second.
    for path in sorted(root.glob("sys/devices/platform/soc*/soc*:firmware/get_throttled")):
        text = text or _text(path)
    if match := re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]+)", text):
        return power_of_bits(int(match[1], 16))
    for name in sorted(root.glob("sys/class/hwmon/hwmon*/name")):
        if _text(name) == "rpi_volt":
            alarm = _text(name.with_name("in0_lcrit_alarm")) == "1"
            return PiPower(("under-voltage",) if alarm else (), ())
    return None


def power_of_bits(bits: int) -> PiPower:
    """The meaning of the number that ``vcgencmd get_throttled`` prints."""
    return PiPower(
        now=tuple(name for bit, name in enumerate(_BITS) if bits & 1 << bit),
        since_start=tuple(name for bit, name in enumerate(_BITS) if bits & 1 << bit + 16),
    )


def _vcgencmd() -> str:
    program = shutil.which("vcgencmd")
    if program is None:
        return ""
    command = [program, "get_throttled"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        # A container without /dev/vcio, or a user outside the group video.
        return ""
    return done.stdout.strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
