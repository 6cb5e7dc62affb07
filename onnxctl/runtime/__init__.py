"""The only room that imports onnxruntime: providers, sessions, inputs, timing, comparing, evaluating."""
