"""The digits network in int8: BatchNormalization folded in, scales measured on the training images."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from sources.assemble import answers, model_from_text, to_bytes
from sources.digits_data import load_digits_split, test_accuracy

FLOAT_MODEL = Path(__file__).parents[1] / "digits_cnn.onnx"

HEADER = """
<
  ir_version: 8,
  opset_import: ["" : 17],
  producer_name: "onnxctl-samples",
  doc_string: "digits_cnn in int8 QDQ form: weights per output channel, activations per tensor."
>
int8_qdq (float[batch, 1, 8, 8] image) => (float[batch, 10] logits)
"""


def activation(name: str, source: str, scale: str) -> str:
    """Send a tensor through int8 and back."""
    return f"""
  [{name}_quantize] {name}_int8 = QuantizeLinear({source}, {scale}_scale, {scale}_zero)
  [{name}_dequantize] {name} = DequantizeLinear({name}_int8, {scale}_scale, {scale}_zero)
"""


def parameters(layer: str) -> str:
    """Bring a layer's int8 weight and int32 bias back to float, per output channel."""
    return "".join(
        f"""
  [{name}_dequantize] {name} = DequantizeLinear <axis = 0> (
    {name}_{kind}, {name}_scale, {name}_zero
  )
"""
        for name, kind in ((f"{layer}_weight", "int8"), (f"{layer}_bias", "int32"))
    )


def convolution_block(block: str, source: str) -> str:
    return (
        parameters(f"conv{block}")
        + f"""
  [conv{block}] conv{block}_out = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (
    {source}, conv{block}_weight, conv{block}_bias
  )
  [relu{block}] relu{block}_out = Relu(conv{block}_out)
"""
        + activation(f"relu{block}", f"relu{block}_out", f"relu{block}")
        + f"""
  [pool{block}] pool{block}_out = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (relu{block})
"""
        + activation(f"pool{block}", f"pool{block}_out", f"relu{block}")
    )


def body() -> str:
    return (
        activation("grey", "image", "image")
        + convolution_block("1", "grey")
        + convolution_block("2", "pool1")
        + "  [flatten] flatten_out = Flatten <axis = 1> (pool2)\n"
        + activation("features", "flatten_out", "relu2")
        + parameters("output")
        + "  [classify] logits = Gemm <transB = 1> (features, output_weight, output_bias)\n"
    )


def accuracy(model: onnx.ModelProto) -> float:
    return test_accuracy(model)


def fold_normalization(weights: dict[str, NDArray[Any]], block: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the weight and bias of the one convolution that does what Conv and BatchNormalization did."""
    factor = weights[f"norm{block}_scale"] / np.sqrt(weights[f"norm{block}_variance"] + 1e-5)
    bias = weights[f"norm{block}_bias"] - weights[f"norm{block}_mean"] * factor
    return weights[f"conv{block}_weight"] * factor[:, np.newaxis, np.newaxis, np.newaxis], bias


def largest_activations(model: onnx.ModelProto, names: list[str]) -> dict[str, float]:
    """Run the float model on the training images and return the largest value of each named tensor."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    for name in names:
        watched.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    values = answers(watched, {"image": load_digits_split().train_images})[-len(names) :]
    return {name: float(value.max()) for name, value in zip(names, values, strict=True)}


def activation_parameters(name: str, largest: float) -> dict[str, NDArray[Any]]:
    """Return scale and zero point for values from 0 to the largest: -128 stands for 0, 127 for the largest."""
    return {f"{name}_scale": np.array(largest / 255, np.float32), f"{name}_zero": np.array(-128, np.int8)}


def quantized(
    name: str, weight: NDArray[Any], bias: NDArray[Any], input_scale: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Return a layer's weight as int8 and its bias as int32, each with one scale per output channel."""
    scale = (np.abs(weight).reshape(len(weight), -1).max(axis=1) / 127).astype(np.float32)
    steps = weight / scale.reshape(-1, *[1] * (weight.ndim - 1))
    bias_scale = (scale * input_scale).astype(np.float32)
    return {
        f"{name}_weight_int8": np.clip(np.rint(steps), -127, 127).astype(np.int8),
        f"{name}_weight_scale": scale,
        f"{name}_weight_zero": np.zeros(len(weight), np.int8),
        f"{name}_bias_int32": np.rint(bias / bias_scale).astype(np.int32),
        f"{name}_bias_scale": bias_scale,
        f"{name}_bias_zero": np.zeros(len(weight), np.int32),
    }


def files() -> dict[str, bytes]:
    float_model = onnx.load(FLOAT_MODEL)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in float_model.graph.initializer}
    largest = largest_activations(float_model, ["relu1_out", "relu2_out"])
    values = activation_parameters("image", 16.0)
    values |= activation_parameters("relu1", largest["relu1_out"])
    values |= activation_parameters("relu2", largest["relu2_out"])
    conv1_weight, conv1_bias = fold_normalization(weights, "1")
    conv2_weight, conv2_bias = fold_normalization(weights, "2")
    # The float model divides the grey values by 16; here the first convolution does.
    values |= quantized("conv1", conv1_weight / 16, conv1_bias, values["image_scale"])
    values |= quantized("conv2", conv2_weight, conv2_bias, values["relu1_scale"])
    values |= quantized("output", weights["output_weight"], weights["output_bias"], values["relu2_scale"])
    return {"int8_qdq.onnx": to_bytes(model_from_text(HEADER + "{\n" + body() + "}\n", values))}
