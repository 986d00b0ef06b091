"""What answers: ONNX Runtime and a tokenizer, and nothing else of this package."""
