"""What computes a network instead of torch: ONNX Runtime or OpenVINO, from an export of it. No torch here but in `export`."""
