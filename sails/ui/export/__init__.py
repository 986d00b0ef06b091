"""The page ONNX export."""
