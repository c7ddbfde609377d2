import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tritongen.errors import InvalidInputError
from tritongen.model.input_values import dtype_bounds, parse_values
from tritongen.model.samples import InputRecipe, make_inputs
from tritongen.model.tensors import DType

DTYPES = st.sampled_from(list(DType))
SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)
FRAGMENTS = st.lists(
    st.one_of(
        st.sampled_from(
            [*'[]()," \\', "int", "float", "normal", "choice", "const", "zeros", "ones", "bool"]
        ),
        st.integers(-(10**20), 10**20).map(str),
        st.floats().map(str),
        st.text(max_size=5),
    ),
    max_size=10,
).map("".join)


@given(FRAGMENTS, DTYPES)
def test_no_text_crashes_and_what_is_accepted_can_be_drawn(text, dtype):
    try:
        parse_values(text, dtype)
    except InvalidInputError:
        return
    array = make_inputs([InputRecipe("x", dtype, (2, 3), text)], seed=0)["x"]
    assert array.shape == (2, 3)
    assert array.dtype.name == dtype.numpy_name


@st.composite
def ranges(draw):
    dtype = draw(st.sampled_from([d for d in DType if d.is_integer]))
    least, greatest = dtype_bounds(dtype)
    low = draw(st.integers(least, greatest))
    return dtype, low, draw(st.integers(low, greatest))


@given(ranges(), st.integers(0, 1000))
def test_integers_stay_within_their_range(drawn, seed):
    dtype, low, high = drawn
    recipe = InputRecipe("x", dtype, (2, 8), f"int[{low},{high}]")
    array = make_inputs([recipe], seed=seed)["x"]
    assert all(low <= item <= high for item in array.ravel().tolist())


@given(
    st.sampled_from([DType.FP16, DType.BF16, DType.FP32, DType.FP64]),
    st.floats(-60_000, 60_000),
    st.floats(0, 5_000),
)
def test_floats_are_finite_and_within_rounding_of_their_range(dtype, low, width):
    recipe = InputRecipe("x", dtype, (2, 8), f"float[{low!r},{low + width!r}]")
    array = make_inputs([recipe], seed=0)["x"].astype(np.float64)
    step = max(abs(low), abs(low + width), 1e-3) * 2.0**-7
    assert np.all(np.isfinite(array))
    assert array.min() >= low - step
    assert array.max() <= low + width + step


@settings(max_examples=50)
@given(SHAPES, DTYPES, st.integers(0, 2**40), st.text(max_size=8))
def test_inputs_have_shape_and_type_and_do_not_change(shape, dtype, seed, name):
    recipe = InputRecipe(name, dtype, shape)
    first, second = (make_inputs([recipe], seed=seed)[name] for _ in range(2))
    assert first.shape == shape
    assert first.dtype.name == dtype.numpy_name
    assert first.tolist() == second.tolist()
