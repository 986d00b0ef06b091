"""Sessions."""

from sails.ui.frame import frame

with frame("Sessions") as workspace:
    pass
