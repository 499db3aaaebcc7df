"""`stemlode export`: a checkpoint's nets as ONNX."""
