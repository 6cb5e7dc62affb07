"""Networks of the literature, shapes only: their weights are said to be in a file that is never read."""

from __future__ import annotations

from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

Input = tuple[str, TensorProto.DataType, list[int | str]]
"""Name, element type and shape."""


class Network:
    """A graph under construction; values are named as they come."""

    def __init__(self, *inputs: Input) -> None:
        self._nodes: list[NodeProto] = []
        self._weights: list[TensorProto] = []
        self._inputs = [helper.make_tensor_value_info(*each) for each in inputs]

    def weight(self, *shape: int) -> str:
        """A weight whose values are elsewhere."""
        name = f"w{len(self._weights)}"
        tensor = TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="never_read.bin")
        self._weights.append(tensor)
        return name

    def constant(self, *values: int) -> str:
        """A small integer constant."""
        return self.op("Constant", value_ints=list(values))

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """A node; the name of its first output."""
        names = [f"v{len(self._nodes)}_{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(op_type, inputs, names, **attributes))
        return names[0]

    def conv(self, x: str, before: int, after: int, kernel: int, stride: int = 1, group: int = 1) -> str:
        """A convolution that keeps the size but for its stride; no bias."""
        pad = kernel // 2
        weight = self.weight(after, before // group, kernel, kernel)
        settings: dict[str, Any] = {
            "kernel_shape": [kernel] * 2,
            "strides": [stride] * 2,
            "pads": [pad] * 4,
            "group": group,
        }
        return self.op("Conv", x, weight, **settings)

    def linear(self, x: str, before: int, after: int) -> str:
        """A product with a matrix, and a bias."""
        return self.op("Add", self.op("MatMul", x, self.weight(before, after)), self.weight(after))

    def model(self, output: str) -> ModelProto:
        """The network with this output."""
        result = helper.make_empty_tensor_value_info(output)
        graph = helper.make_graph(self._nodes, "network", self._inputs, [result], self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


PICTURES: Input = ("x", TensorProto.FLOAT, ["batch", 3, 224, 224])


def resnet50() -> ModelProto:
    """ResNet-50 with the stride in the 3x3 convolution, as torchvision has it (v1.5)."""
    net = Network(PICTURES)
    x = net.op("Relu", net.conv("x", 3, 64, 7, 2))
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    width = 64
    for stage, count in enumerate((3, 4, 6, 3)):
        inner = 64 << stage
        for index in range(count):
            stride = 2 if stage and not index else 1
            y = net.op("Relu", net.conv(x, width, inner, 1))
            y = net.op("Relu", net.conv(y, inner, inner, 3, stride))
            y = net.conv(y, inner, 4 * inner, 1)
            x = net.op("Relu", net.op("Add", y, x if index else net.conv(x, width, 4 * inner, 1, stride)))
            width = 4 * inner
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    return net.model(net.linear(x, 2048, 1000))


def mobilenet_v2() -> ModelProto:
    """MobileNetV2 with width 1.0 (Sandler et al. 2018, table 2)."""
    net = Network(PICTURES)
    x, width = net.op("Clip", net.conv("x", 3, 32, 3, 2)), 32
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, after, count, first_stride in rows:
        for index in range(count):
            stride, inner = first_stride if not index else 1, width * expansion
            y = x if expansion == 1 else net.op("Clip", net.conv(x, width, inner, 1))
            y = net.conv(net.op("Clip", net.conv(y, inner, inner, 3, stride, inner)), inner, after, 1)
            x = net.op("Add", x, y) if stride == 1 and width == after else y
            width = after
    x = net.op("Clip", net.conv(x, width, 1280, 1))
    return net.model(net.linear(net.op("Flatten", net.op("GlobalAveragePool", x)), 1280, 1000))


def vgg19() -> ModelProto:
    """VGG-19 (Simonyan and Zisserman 2014, configuration E)."""
    net = Network(PICTURES)
    x, width = "x", 3
    for after, count in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(count):
            x, width = net.op("Relu", net.conv(x, width, after, 3)), after
        x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.op("Flatten", x)
    for before, after in ((512 * 7 * 7, 4096), (4096, 4096), (4096, 1000)):
        x = net.linear(x, before, after)
    return net.model(x)


def bert_base() -> ModelProto:
    """The encoder of BERT-base, its heads split by shapes computed from the input's, as exporters write them."""
    net = Network(("ids", TensorProto.INT64, ["batch", "seq"]))
    x = net.op("Gather", net.weight(30522, 768), "ids")
    x = net.op("LayerNormalization", x, net.weight(768), net.weight(768))
    shape = net.op("Shape", "ids")
    heads = net.op("Concat", shape, net.constant(12, 64), axis=0)
    joined = net.op("Concat", shape, net.constant(768), axis=0)
    for _ in range(12):
        query, key, value = (
            net.op("Transpose", net.op("Reshape", net.linear(x, 768, 768), heads), perm=[0, 2, 1, 3]) for _ in range(3)
        )
        scores = net.op("MatMul", query, net.op("Transpose", key, perm=[0, 1, 3, 2]))
        mixed = net.op("Transpose", net.op("MatMul", net.op("Softmax", scores), value), perm=[0, 2, 1, 3])
        y = net.linear(net.op("Reshape", mixed, joined), 768, 768)
        x = net.op("LayerNormalization", net.op("Add", x, y), net.weight(768), net.weight(768))
        y = net.linear(net.op("Relu", net.linear(x, 768, 3072)), 3072, 768)
        x = net.op("LayerNormalization", net.op("Add", x, y), net.weight(768), net.weight(768))
    return net.model(x)
