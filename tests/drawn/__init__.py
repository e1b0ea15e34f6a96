"""Slides drawn for the tests, each with its truth: functions that write a file and return what it shows."""
