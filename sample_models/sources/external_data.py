"""A model whose large weights are in a file beside it; the small ones stay inside."""

import numpy as np
import onnx
from onnx.external_data_helper import set_external_data

from sources.assemble import model_from_text, to_bytes

DATA_FILE = "external_data.data"
ALIGNMENT = 4096  # so that a reader can map each weight
SMALLEST = 1024

TEXT = """
<
  ir_version: 8,
  opset_import: ["" : 17],
  producer_name: "onnxctl-samples",
  doc_string: "Two dense layers with made-up weights; the weights are in external_data.data, the biases are inline."
>
external_data (float[batch, 64] X) => (float[batch, 32] Y)
{
  [dense1] hidden_sum = Gemm(X, dense1_weight, dense1_bias)
  [relu] hidden = Relu(hidden_sum)
  [dense2] Y = Gemm(hidden, dense2_weight, dense2_bias)
}
"""


def move_out(tensor: onnx.TensorProto, data: bytearray) -> None:
    """Append the tensor's bytes to the data and leave a reference in their place."""
    data.extend(bytes(-len(data) % ALIGNMENT))
    payload = tensor.raw_data
    set_external_data(tensor, location=DATA_FILE, offset=len(data), length=len(payload))
    tensor.ClearField("raw_data")
    data.extend(payload)


def files() -> dict[str, bytes]:
    random = np.random.RandomState(0)
    shapes = {"dense1_weight": (64, 80), "dense1_bias": (80,), "dense2_weight": (80, 32), "dense2_bias": (32,)}
    weights = {name: (random.random_sample(shape) - 0.5).astype(np.float32) / 4 for name, shape in shapes.items()}
    model = model_from_text(TEXT, weights)
    data = bytearray()
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) >= SMALLEST:
            move_out(tensor, data)
    return {"external_data/external_data.onnx": to_bytes(model), f"external_data/{DATA_FILE}": bytes(data)}
