"""The main job on the embedded detector, offline: export, prove, measure, show."""
