"""The proof that an ONNX model answers like its original."""
