"""A small detector of our own that comes with the package: YOLOX-Nano at 320 on rendered symbols.

``detector.pth`` is an ordinary checkpoint of ours with its convolutions in fp16; ``detector.json``
says how it was made and what it is worth. Both are written by ``tools/train_embedded.py``.
"""

from edgeyolo.embedded.detector import DEMO_NAME, checkpoint_path, detector_card

__all__ = ["DEMO_NAME", "checkpoint_path", "detector_card"]
