"""Data."""

from sails.ui.frame import frame

with frame("Data") as workspace:
    pass
