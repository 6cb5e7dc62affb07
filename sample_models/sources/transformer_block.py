"""One pre-norm transformer block in plain operators, written the way an exporter writes it: nothing is simplified."""

import numpy as np

from sources.assemble import model_from_text, to_bytes

VOCABULARY = 100
WIDTH = 64
HEADS = 4

HEADER = """
<
  ir_version: 8,
  opset_import: ["" : 17],
  producer_name: "onnxctl-samples",
  doc_string: "Embedding and one pre-norm transformer block, 4 heads, with random weights; unsimplified on purpose."
>
transformer_block (
  int64[batch, sequence] input_ids,
  int64[batch, sequence] attention_mask
) => (float[batch, sequence, 64] hidden_states)
"""


def constant(name: str, value: str) -> str:
    return f'  ["/{name}/Constant"] {name} = Constant <value = {value}> ()\n'


def layer_norm(name: str, source: str) -> str:
    return (
        constant(f"{name}_two", "float {2.0}")
        + constant(f"{name}_epsilon", "float {0.00001}")
        + f"""
  ["/{name}/ReduceMean"] {name}_mean = ReduceMean <axes = [-1]> ({source})
  ["/{name}/Sub"] {name}_centered = Sub({source}, {name}_mean)
  ["/{name}/Pow"] {name}_squared = Pow({name}_centered, {name}_two)
  ["/{name}/ReduceMean_1"] {name}_variance = ReduceMean <axes = [-1]> ({name}_squared)
  ["/{name}/Add"] {name}_positive = Add({name}_variance, {name}_epsilon)
  ["/{name}/Sqrt"] {name}_deviation = Sqrt({name}_positive)
  ["/{name}/Div"] {name}_normalized = Div({name}_centered, {name}_deviation)
  ["/{name}/Mul"] {name}_scaled = Mul({name}_normalized, {name}_weight)
  ["/{name}/Add_1"] {name}_out = Add({name}_scaled, {name}_bias)
"""
    )


def linear(name: str, source: str) -> str:
    return f"""
  ["/{name}/MatMul"] {name}_product = MatMul({source}, {name}_weight)
  ["/{name}/Add"] {name}_out = Add({name}_bias, {name}_product)
"""


def size(name: str, source: str, axis: int) -> str:
    """Read one dimension of a tensor as a vector of length one: Shape, Gather, Unsqueeze."""
    return (
        constant(f"{name}_axis", f"int64 {{{axis}}}")
        + constant(f"{name}_front", "int64[1] {0}")
        + f"""
  ["/{name}/Shape"] {name}_shape = Shape({source})
  ["/{name}/Gather"] {name}_number = Gather <axis = 0> ({name}_shape, {name}_axis)
  ["/{name}/Unsqueeze"] {name} = Unsqueeze({name}_number, {name}_front)
"""
    )


def split_heads(name: str, order: str) -> str:
    """Turn [batch, sequence, width] into one matrix per head, its axes in the given order."""
    return (
        size(f"{name}_batch", f"{name}_out", 0)
        + size(f"{name}_sequence", f"{name}_out", 1)
        + constant(f"{name}_heads", f"int64[1] {{{HEADS}}}")
        + constant(f"{name}_head_width", f"int64[1] {{{WIDTH // HEADS}}}")
        + f"""
  ["/{name}/Concat"] {name}_head_shape = Concat <axis = 0> (
    {name}_batch, {name}_sequence, {name}_heads, {name}_head_width
  )
  ["/{name}/Reshape"] {name}_by_head = Reshape({name}_out, {name}_head_shape)
  ["/{name}/Transpose"] {name}_split = Transpose <perm = [{order}]> ({name}_by_head)
"""
    )


def mask() -> str:
    """Turn 1 and 0 into 0 and the most negative float, to be added to the scores."""
    return (
        constant("mask_axes", "int64[2] {1, 2}")
        + constant("mask_one", "float {1.0}")
        + constant("mask_lowest", "float {-3.4028234663852886e38}")
        + """
  ["/mask/Unsqueeze"] mask_wide = Unsqueeze(attention_mask, mask_axes)
  ["/mask/Cast"] mask_float = Cast <to = 1> (mask_wide)
  ["/mask/Sub"] mask_inverted = Sub(mask_one, mask_float)
  ["/mask/Mul"] mask_out = Mul(mask_inverted, mask_lowest)
"""
    )


def attention() -> str:
    return (
        linear("query", "norm1_out")
        + linear("key", "norm1_out")
        + linear("value", "norm1_out")
        + split_heads("query", "0, 2, 1, 3")
        + split_heads("key", "0, 2, 3, 1")
        + split_heads("value", "0, 2, 1, 3")
        + constant("attention_root", f"float {{{float((WIDTH // HEADS) ** 0.5)}}}")
        + """
  ["/attention/MatMul"] attention_product = MatMul(query_split, key_split)
  ["/attention/Div"] attention_scaled = Div(attention_product, attention_root)
  ["/attention/Add"] attention_scores = Add(attention_scaled, mask_out)
  ["/attention/Softmax"] attention_weights = Softmax <axis = -1> (attention_scores)
  ["/attention/dropout/Identity"] attention_kept = Identity(attention_weights)
  ["/attention/MatMul_1"] attention_by_head = MatMul(attention_kept, value_split)
  ["/attention/Transpose"] attention_turned = Transpose <perm = [0, 2, 1, 3]> (attention_by_head)
"""
        + size("joined_batch", "attention_turned", 0)
        + size("joined_sequence", "attention_turned", 1)
        + constant("joined_width", f"int64[1] {{{WIDTH}}}")
        + """
  ["/joined/Concat"] joined_shape = Concat <axis = 0> (joined_batch, joined_sequence, joined_width)
  ["/joined/Reshape"] joined_out = Reshape(attention_turned, joined_shape)
"""
        + linear("project", "joined_out")
    )


def gelu(name: str, source: str) -> str:
    return (
        constant(f"{name}_root", "float {1.4142135381698608}")
        + constant(f"{name}_one", "float {1.0}")
        + constant(f"{name}_half", "float {0.5}")
        + f"""
  ["/{name}/Div"] {name}_divided = Div({source}, {name}_root)
  ["/{name}/Erf"] {name}_erf = Erf({name}_divided)
  ["/{name}/Add"] {name}_raised = Add({name}_erf, {name}_one)
  ["/{name}/Mul"] {name}_gated = Mul({source}, {name}_raised)
  ["/{name}/Mul_1"] {name}_out = Mul({name}_gated, {name}_half)
"""
    )


def body() -> str:
    return (
        '  ["/embedding/Gather"] embedded = Gather <axis = 0> (embedding_table, input_ids)\n'
        + mask()
        + layer_norm("norm1", "embedded")
        + attention()
        + '  ["/residual1/Add"] residual1 = Add(embedded, project_out)\n'
        + layer_norm("norm2", "residual1")
        + linear("widen", "norm2_out")
        + gelu("gelu", "widen_out")
        + linear("narrow", "gelu_out")
        + '  ["/residual2/Add"] hidden_states = Add(residual1, narrow_out)\n'
    )


def weights() -> dict[str, np.typing.NDArray[np.float32]]:
    """Return uniformly distributed weights of the usual size; the generator is one that numpy keeps as it is."""
    random = np.random.RandomState(0)
    shapes: dict[str, tuple[int, ...]] = {"embedding_table": (VOCABULARY, WIDTH)}
    for name in ("norm1", "norm2"):
        shapes |= {f"{name}_weight": (WIDTH,), f"{name}_bias": (WIDTH,)}
    for name, entering, leaving in (
        ("query", WIDTH, WIDTH),
        ("key", WIDTH, WIDTH),
        ("value", WIDTH, WIDTH),
        ("project", WIDTH, WIDTH),
        ("widen", WIDTH, 4 * WIDTH),
        ("narrow", 4 * WIDTH, WIDTH),
    ):
        shapes |= {f"{name}_weight": (entering, leaving), f"{name}_bias": (leaving,)}
    values = {}
    for name, shape in shapes.items():
        centered = 2 * random.random_sample(shape) - 1
        if name == "embedding_table":
            values[name] = centered
        elif name.startswith("norm"):
            values[name] = centered / 8 + (1 if name.endswith("weight") else 0)
        else:
            values[name] = centered / 8
    return {name: value.astype(np.float32) for name, value in values.items()}


def files() -> dict[str, bytes]:
    return {"transformer_block.onnx": to_bytes(model_from_text(HEADER + "{\n" + body() + "}\n", weights()))}
