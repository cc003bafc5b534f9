"""What differs between families on the host: one file each, numpy only."""

from __future__ import annotations

from collections.abc import Mapping

from edgeyolo.families.rules import FamilyRules
from edgeyolo.families.yolov7 import YOLOV7
from edgeyolo.families.yolox import YOLOX
from edgeyolo.spec import Family

FAMILIES: Mapping[Family, FamilyRules] = {Family.YOLOX: YOLOX, Family.YOLOV7: YOLOV7}

__all__ = ["FAMILIES", "FamilyRules"]
