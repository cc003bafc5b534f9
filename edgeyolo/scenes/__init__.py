"""Rendered scenes with exactly known objects: training data and pictures that need no download."""

from edgeyolo.scenes.rendering import Difficulty, Scene, render_scene
from edgeyolo.scenes.sheet import printable_sheet
from edgeyolo.scenes.symbols import SCENE_CLASSES

__all__ = ["SCENE_CLASSES", "Difficulty", "Scene", "printable_sheet", "render_scene"]
