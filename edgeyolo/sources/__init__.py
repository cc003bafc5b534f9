"""Where frames come from: cameras, network streams, videos, pictures, test patterns."""

from __future__ import annotations

from edgeyolo.sources.frame import Frame, FrameSource, SourceOptions
from edgeyolo.sources.opening import connect, open_source

__all__ = ["Frame", "FrameSource", "SourceOptions", "connect", "open_source"]
