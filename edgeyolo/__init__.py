"""edgeyolo: YOLOX and YOLOv7 checkpoints become the fastest correct detectors for edge devices."""

__version__ = "0.1.0"
