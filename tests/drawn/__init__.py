"""Slides that draw one case each: functions from a path to the truth of what they wrote there."""
