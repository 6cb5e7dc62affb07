"""Arrays as tensors and back: as onnx's own helpers have them, which take longer to load."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxctl.model.arrays import element_type, inline_array, native_dtype, new_inline_tensor, numpy_dtype
from onnxctl.model.tensors import DTYPES


@pytest.mark.parametrize("number", sorted(DTYPES.keys() - {TensorProto.UNDEFINED, TensorProto.STRING}))
def test_arrays_and_tensors_are_those_of_onnx(number: int) -> None:
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(number))
    assert numpy_dtype(number) == dtype
    assert element_type(dtype) == element_type(dtype.newbyteorder(">")) == number
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    for name in ("", "x"):
        made = new_inline_tensor(name, array)
        assert made.SerializeToString() == numpy_helper.from_array(array, name).SerializeToString()
        assert inline_array(made).dtype == dtype
        assert inline_array(made).tobytes() == array.tobytes()


def test_arrays_of_the_other_byte_order_become_the_same_tensors() -> None:
    array = np.array([1, 300], np.int32)
    assert new_inline_tensor("x", array.astype(">i4")) == new_inline_tensor("x", array)


def test_types_whose_elements_share_bytes_have_no_native_one() -> None:
    shared = {number for number in DTYPES if native_dtype(number) is None}
    assert shared == {number for number, dtype in DTYPES.items() if dtype.bits < 8}
    assert native_dtype(99) is None
    with pytest.raises(KeyError):
        numpy_dtype(99)
