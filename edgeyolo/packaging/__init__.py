"""Artifacts packed for a device or an inference server."""

from edgeyolo.packaging.package import PackageLayout, package

__all__ = ["PackageLayout", "package"]
