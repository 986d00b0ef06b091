"""The ONNX side: `export` and `verify` need torch; `generate` needs only onnxruntime and tokenizers."""
