"""ONNX export."""

from sails.ui.frame import frame

with frame("ONNX export") as workspace:
    pass
