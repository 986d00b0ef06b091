"""Train."""

from sails.ui.frame import frame

with frame("Train") as workspace:
    pass
