"""Tests of the window, with real widgets and real input."""
