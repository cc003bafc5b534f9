"""edgeyolo: YOLOX and YOLOv7 checkpoints become the fastest correct detectors for edge devices.

import cv2, edgeyolo

predictor = edgeyolo.load("yolox_nano-fp32-onnx")
for found in predictor.predict(cv2.imread("street.jpg")):
    print(found.class_name, found.score, found.box_xyxy)
"""

from edgeyolo.detections import Detection, Detections
from edgeyolo.errors import EdgeYoloError
from edgeyolo.predictor import Predictor, load

__version__ = "0.1.0"

__all__ = ["Detection", "Detections", "EdgeYoloError", "Predictor", "__version__", "load"]
