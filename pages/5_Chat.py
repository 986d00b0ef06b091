"""Chat."""

from sails.ui.frame import frame

with frame("Chat") as workspace:
    pass
