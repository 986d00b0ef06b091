"""The file formats that conversations come in, one module each."""
