"""Networks as values: layers, tensors, shapes, work, and the ONNX codec at the edge."""
