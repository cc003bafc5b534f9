"""Where frames come from: cameras, network streams, videos, pictures, test patterns."""

from __future__ import annotations

from edgeyolo.sources.frame import Frame, FrameSource, SourceOptions
from edgeyolo.sources.opening import open_source

__all__ = ["Frame", "FrameSource", "SourceOptions", "open_source"]
