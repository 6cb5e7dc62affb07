"""Which node was left to the CPU, and why: from what onnxruntime's CUDA and session code really write."""

from onnxctl.runtime.placement import AssignedNode, ProviderNodes, describe_placement, nodes_left_to_cpu

LOG = """\
2026-01-01 [I:onnxruntime:, cuda_execution_provider.cc:2791 GetCapability] CUDA kernel not found in registries for Op type: NonZero node name: find zeros
2026-01-01 [I:onnxruntime:, fallback_cpu_capability.cc:171 operator()] Candidate for fallback CPU execution: /Shape
2026-01-01 [I:onnxruntime:, fallback_cpu_capability.cc:171 GetCpuPreferredNodes] Force fallback to CPU execution for node: /Gather because the CPU execution path is deemed faster than overhead involved with execution on other EPs  capable of executing this node
"""  # noqa: E501 - as it is written
PLACEMENT = (
    ProviderNodes("CUDAExecutionProvider", (AssignedNode("a", "Conv", ""), AssignedNode("b", "Conv", ""))),
    ProviderNodes(
        "CPUExecutionProvider",
        (
            AssignedNode("find zeros", "NonZero", ""),
            AssignedNode("/Gather", "Gather", ""),
            AssignedNode("/Shape", "Shape", ""),
            AssignedNode("plain", "Loop", ""),
        ),
    ),
)


def test_nodes_on_the_cpu_are_named_with_the_reason_where_there_is_one() -> None:
    left = nodes_left_to_cpu(PLACEMENT, ["CUDAExecutionProvider"], LOG)
    assert [(each.name, each.computes) for each in left] == [
        ("find zeros", True),
        ("/Gather", False),
        ("/Shape", False),
        ("plain", True),
    ]
    assert left[0].reason == "no NonZero kernel for it"
    assert "onnxruntime keeps it on the CPU" in left[1].reason
    assert left[3].reason == ""


def test_where_the_cpu_was_asked_for_first_nothing_is_left_to_it() -> None:
    assert nodes_left_to_cpu(PLACEMENT, ["CPUExecutionProvider"], LOG) == ()


def test_a_placement_counts_operators() -> None:
    cuda, cpu = describe_placement(PLACEMENT)
    assert (cuda.node_count, cuda.operators[0].op_type, cuda.operators[0].count) == (2, "Conv", 2)
    assert cpu.node_count == 4
