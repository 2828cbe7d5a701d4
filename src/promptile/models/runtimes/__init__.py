"""What computes a network instead of torch: ONNX Runtime or OpenVINO, from an export. Only `export` knows torch."""
