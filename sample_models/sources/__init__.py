"""The sources of the sample models: ONNX text, and a short builder where the weights are learned or many."""
