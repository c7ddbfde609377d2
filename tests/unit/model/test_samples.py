import subprocess
import sys

import numpy as np
import pytest

from tritongen.errors import InvalidInputError
from tritongen.model.evidence import ObservedTensor
from tritongen.model.input_values import Values, ValueSource, default_values, parse_values
from tritongen.model.samples import (
    InputRecipe,
    make_inputs,
    observed_recipes,
    row,
    stack_rows,
    zero_inputs,
)
from tritongen.model.tensors import DType

INTEGERS = [dtype for dtype in DType if dtype.is_integer]
FLOATS = [dtype for dtype in DType if dtype.is_float]


@pytest.mark.parametrize(
    ("text", "dtype", "expected"),
    [
        ("int[0,30522)", DType.INT64, Values(ValueSource.INT, 0, 30521)),
        ("int[1,5]", DType.UINT8, Values(ValueSource.INT, 1, 5)),
        (" int[ -3 , 5 ] ", DType.FP32, Values(ValueSource.INT, -3, 5)),
        ("float[-1,1]", DType.FP32, Values(ValueSource.FLOAT, -1.0, 1.0)),
        ("float[0,1e3)", DType.FP16, Values(ValueSource.FLOAT, 0.0, 1000.0, closed=False)),
        ("normal(0,1)", DType.BF16, Values(ValueSource.NORMAL, 0.0, 1.0)),
        (
            'choice(a,b,"c d")',
            DType.BYTES,
            Values(ValueSource.CHOICE, items=(b"a", b"b", b"c d")),
        ),
        (r'choice("a,(\"")', DType.BYTES, Values(ValueSource.CHOICE, items=(b'a,("',))),
        (
            "choice(two words, x)",
            DType.BYTES,
            Values(ValueSource.CHOICE, items=(b"two words", b"x")),
        ),
        ('const("")', DType.BYTES, Values(ValueSource.CONST, items=(b"",))),
        ("choice(1,-2)", DType.INT8, Values(ValueSource.CHOICE, items=(1, -2))),
        ("choice(true,0)", DType.BOOL, Values(ValueSource.CHOICE, items=(True, False))),
        ("const(0)", DType.FP32, Values(ValueSource.CONST, items=(0.0,))),
        ("zeros", DType.BYTES, Values(ValueSource.ZEROS)),
        ("ones", DType.BOOL, Values(ValueSource.ONES)),
        ("string(3,12)", DType.BYTES, Values(ValueSource.STRING, 3, 12)),
        ("bool", DType.BOOL, Values(ValueSource.BOOL)),
    ],
)
def test_the_grammar_is_read(text, dtype, expected):
    assert parse_values(text, dtype) == expected


@pytest.mark.parametrize(
    ("text", "dtype", "complaint"),
    [
        ("", DType.FP32, "is empty"),
        ("nonsense", DType.FP32, "is not a description"),
        ("integer[0,1)", DType.INT64, "is not a description"),
        ("int(0,1)", DType.INT64, "is not of the form"),
        ("int[0,1", DType.INT64, "is not of the form"),
        ("int[0,1,2)", DType.INT64, "is not of the form"),
        ("int[0,0)", DType.INT64, "the range is empty"),
        ("int[5,1]", DType.INT64, "the range is empty"),
        ("int[0,1.5)", DType.INT64, "'1.5' is not a whole number"),
        ("int[0,300]", DType.UINT8, "outside of UINT8, 0 to 255"),
        ("int[-1,3]", DType.UINT64, "outside of UINT64"),
        ("int[0,70000]", DType.FP16, "outside of FP16"),
        ("int[0,2)", DType.BYTES, "does not describe values of type BYTES"),
        ("int[0,2)", DType.BOOL, "does not describe values of type BOOL"),
        ("float[0,1)", DType.INT32, "does not describe values of type INT32"),
        ("float[0,inf]", DType.FP32, "is not finite"),
        ("float[nan,1]", DType.FP32, "is not finite"),
        ("float[0,1e39]", DType.FP32, "outside of FP32"),
        ("float[1,1)", DType.FP32, "the range is empty"),
        ("normal(0,-1)", DType.FP32, "not negative"),
        ("normal(0)", DType.FP32, "is not of the form"),
        ("normal(0,1)", DType.INT8, "does not describe"),
        ("choice", DType.INT8, "in parentheses"),
        ("choice()", DType.INT8, "in parentheses"),
        ("choice(1,)", DType.INT8, "no value at ''"),
        ("choice(1,2", DType.INT8, "in parentheses"),
        ("choice(1,x)", DType.INT8, "'x' is not a whole number"),
        ("choice(1,300)", DType.INT8, "outside of INT8"),
        ("choice(maybe)", DType.BOOL, "neither true nor false"),
        ('choice("a" "b")', DType.BYTES, "a comma is missing"),
        ('choice("a)', DType.BYTES, "no value at"),
        ("const(1,2)", DType.INT8, "takes one value"),
        ("const(nan)", DType.FP32, "is not finite"),
        ("zeros(1)", DType.INT8, "takes no arguments"),
        ("ones", DType.BYTES, "does not describe"),
        ("string(5,3)", DType.BYTES, "the smaller one first"),
        ("string(0,9999999)", DType.BYTES, "lengths go from 0"),
        ("string(1,2)", DType.INT8, "does not describe"),
        ("bool", DType.INT8, "does not describe"),
        ("x" * 20_000, DType.INT8, "is longer than"),
        ("int[" + "9" * 5000 + ",1]", DType.INT64, "is not a whole number"),
    ],
)
def test_nonsense_is_refused_with_its_reason(text, dtype, complaint):
    with pytest.raises(InvalidInputError) as caught:
        parse_values(text, dtype)
    assert caught.value.code == "TG304"
    assert complaint in str(caught.value)
    assert "int[a,b)" in caught.value.fix
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("dtype", list(DType))
def test_every_type_has_a_default_of_the_right_type_and_shape(dtype):
    array = make_inputs([InputRecipe("x", dtype, (3, 4))], seed=1)["x"]
    assert array.shape == (3, 4)
    assert array.dtype.name == dtype.numpy_name
    if dtype is DType.BYTES:
        assert all(isinstance(item, bytes) and 3 <= len(item) <= 12 for item in array.flat)
        assert all(item.isascii() for item in array.flat)
    else:
        assert np.all(np.isfinite(array.astype(np.float64)))


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
def test_numbers_stay_within_their_default_range(dtype):
    array = make_inputs([InputRecipe("x", dtype, (50, 40))], seed=3)["x"].astype(np.float64)
    assert array.min() >= 0
    assert array.max() < (1 if dtype.is_float else 10)


def test_a_bound_that_is_left_out_stays_out_after_rounding_to_a_short_type():
    for dtype in (DType.FP16, DType.BF16):
        array = make_inputs([InputRecipe("x", dtype, (200, 100), "float[0,1)")], seed=0)["x"]
        assert float(array.astype(np.float64).max()) < 1.0


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (DType.INT8, "int[-128,127]"),
        (DType.UINT8, "int[0,255]"),
        (DType.INT64, "int[-9223372036854775808,9223372036854775807]"),
        (DType.UINT64, "int[0,18446744073709551615]"),
        (DType.INT32, "int[-2147483648,2147483648)"),
    ],
)
def test_whole_ranges_of_integers_are_covered(dtype, values):
    array = make_inputs([InputRecipe("x", dtype, (4000,), values)], seed=0)["x"]
    limits = np.iinfo(array.dtype)
    width = int(limits.max) - int(limits.min)
    assert int(array.min()) < limits.min + width // 50
    assert int(array.max()) > limits.max - width // 50


def test_every_number_of_a_small_range_occurs_and_no_other():
    array = make_inputs([InputRecipe("x", DType.INT16, (500,), "int[-2,2)")], seed=0)["x"]
    assert set(array.tolist()) == {-2, -1, 0, 1}


def test_choice_bool_const_and_normal():
    made = make_inputs(
        [
            InputRecipe("c", DType.BYTES, (200,), 'choice(a,"b c")'),
            InputRecipe("b", DType.BOOL, (200,)),
            InputRecipe("k", DType.FP16, (7,), "const(2.5)"),
            InputRecipe("n", DType.FP64, (20_000,), "normal(5,2)"),
            InputRecipe("z", DType.BYTES, (2,), "zeros"),
        ],
        seed=0,
    )
    assert set(made["c"].tolist()) == {b"a", b"b c"}
    assert 60 < made["b"].sum() < 140
    assert set(made["k"].tolist()) == {2.5}
    assert abs(made["n"].mean() - 5) < 0.1
    assert abs(made["n"].std() - 2) < 0.1
    assert made["z"].tolist() == [b"", b""]


def test_the_values_are_the_same_on_every_machine():
    made = make_inputs(
        [
            InputRecipe("x", DType.FP64, (3,)),
            InputRecipe("i", DType.INT64, (4,), "int[0,1000)"),
            InputRecipe("s", DType.BYTES, (2,)),
        ],
        seed=7,
    )
    assert made["x"].tolist() == [0.5825649010583437, 0.008594267543662326, 0.7433023675386723]
    assert made["i"].tolist() == [602, 100, 833, 882]
    assert made["s"].tolist() == [b"GH4vmUvjV8k", b"R1eqNuc3"]


def test_another_input_does_not_change_the_first_and_another_seed_does():
    alone = make_inputs([InputRecipe("x", DType.FP32, (2, 3))], seed=0)
    both = make_inputs(
        [InputRecipe("y", DType.FP32, (2, 3)), InputRecipe("x", DType.FP32, (2, 3))], seed=0
    )
    other = make_inputs([InputRecipe("x", DType.FP32, (2, 3))], seed=1)
    assert np.array_equal(alone["x"], both["x"])
    assert not np.array_equal(both["x"], both["y"])
    assert not np.array_equal(alone["x"], other["x"])


def test_the_first_rows_of_a_larger_batch_are_those_of_a_smaller_one():
    recipe = InputRecipe("x", DType.FP32, (2, 5))
    small = make_inputs([recipe], seed=0)["x"]
    large = make_inputs([recipe.with_rows(6)], seed=0)["x"]
    assert np.array_equal(large[:2], small)


@pytest.mark.parametrize(
    ("dtype", "values", "shape"),
    [
        (DType.INT64, "int[0,2)", (6, 3)),
        (DType.BOOL, "", (8, 3)),
        (DType.BYTES, "choice(a,b)", (4, 2)),
        (DType.FP32, "", (16, 1)),
    ],
)
def test_rows_differ_even_when_there_are_few_values(dtype, values, shape):
    for seed in range(5):
        array = make_inputs([InputRecipe("x", dtype, shape, values)], seed=seed)["x"]
        rows = {repr(item) for item in array.tolist()}
        # Eight draws find a free row with great, not with full certainty.
        assert len(rows) >= shape[0] - 1


def test_rows_that_cannot_differ_are_still_made():
    array = make_inputs([InputRecipe("x", DType.BOOL, (5, 1))], seed=0)["x"]
    assert array.shape == (5, 1)


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("attention_mask", DType.INT64, "ones"),
        ("attentionMask", DType.FP32, "ones"),
        ("mask", DType.BOOL, "ones"),
        ("mask", DType.BYTES, "string(3,12)"),
        ("input_lengths", DType.INT64, "ones"),
        ("xLen", DType.INT32, "ones"),
        ("lens", DType.INT32, "ones"),
        ("wavelength", DType.INT32, "int[0,10)"),
        ("length", DType.FP32, "float[0,1)"),
        ("sr", DType.INT64, "const(16000)"),
        ("sample_rate", DType.INT32, "const(16000)"),
        ("sr", DType.INT8, "int[0,10)"),
        ("silence", DType.INT64, "int[0,10)"),
    ],
)
def test_names_suggest_values(name, dtype, expected):
    assert default_values(name, dtype) == expected


def test_empty_and_scalar_shapes():
    made = make_inputs(
        [
            InputRecipe("scalar", DType.FP32, ()),
            InputRecipe("none", DType.FP32, (2, 0)),
            InputRecipe("rows", DType.INT64, (0, 3)),
            InputRecipe("text", DType.BYTES, (2, 0)),
            InputRecipe("word", DType.BYTES, ()),
        ],
        seed=0,
    )
    assert {name: array.shape for name, array in made.items()} == {
        "scalar": (),
        "none": (2, 0),
        "rows": (0, 3),
        "text": (2, 0),
        "word": (),
    }
    assert isinstance(made["word"].item(), bytes)


def test_zero_inputs_are_what_a_warm_up_feeds():
    made = zero_inputs([InputRecipe(d.value, d, (2, 2), "") for d in DType])
    for dtype in DType:
        empty = b"" if dtype is DType.BYTES else 0
        assert all(item == empty for item in made[dtype.value].ravel())


def test_rows_are_taken_apart_and_joined_again():
    made = make_inputs(
        [InputRecipe("x", DType.FP32, (3, 2)), InputRecipe("k", DType.FP32, ())], seed=0
    )
    parts = [row(made, index) for index in range(3)]
    assert all(part["x"].shape == (1, 2) and part["k"].shape == () for part in parts)
    joined = stack_rows(parts)
    assert np.array_equal(joined["x"], made["x"])
    assert joined["k"] == made["k"]


def test_recipes_of_a_trial_give_its_inputs_again():
    recipe = InputRecipe("x", DType.INT64, (1, 4), "int[0,2)")
    observed = ObservedTensor(recipe.name, recipe.dtype, recipe.shape, recipe.values)
    assert observed_recipes([observed]) == (recipe,)
    assert recipe.with_rows(3).shape == (3, 4)
    assert InputRecipe("k", DType.FP32, ()).with_rows(3).shape == ()


def test_a_recipe_with_unsuitable_values_is_refused():
    with pytest.raises(InvalidInputError, match="does not describe"):
        make_inputs([InputRecipe("x", DType.INT64, (1,), "float[0,1]")], seed=0)


def test_long_blanks_in_a_choice_are_read_in_good_time():
    text = "choice(a" + " " * 9_900 + "b)"
    assert len(parse_values(text, DType.BYTES).items[0]) == 9_902
    with pytest.raises(InvalidInputError):
        parse_values("choice(" + " " * 9_900 + ")", DType.BYTES)


def test_the_grammar_alone_does_not_load_numpy():
    program = "import sys, tritongen.model.input_values; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_real_rows_are_taken_from_everywhere_and_together():
    real = np.arange(20, dtype=np.float32).reshape(10, 2)
    recipes = [
        InputRecipe(name, DType.FP32, (3, 2), real=real + at) for at, name in enumerate("ab")
    ]
    seeds = [make_inputs(recipes, seed) for seed in range(4)]
    rows = [int(row[0] // 2) for made in seeds for row in made["a"]]
    assert set(rows) == set(range(10)), "every row is used before one is used again"
    assert max(rows[:3]) - min(rows[:3]) > 3, "the first ones are far from one another"
    assert all(np.array_equal(made["a"] + 1, made["b"]) for made in seeds), "rows stay together"


def test_what_real_rows_do_not_fit_is_generated():
    real = np.full((1, 2), 7, dtype=np.float32)
    made = make_inputs([InputRecipe("x", DType.FP32, (3, 2), real=real)], 0)["x"]
    assert made[0].tolist() == [7, 7]
    assert (made[1:] < 1).all()
    wider = make_inputs([InputRecipe("x", DType.FP32, (3, 4), real=real)], 0)["x"]
    assert np.array_equal(wider, make_inputs([InputRecipe("x", DType.FP32, (3, 4))], 0)["x"])


def test_whole_real_arrays_are_taken_in_turn():
    real = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    recipe = InputRecipe("x", DType.FP32, (2, 2), real=real)
    assert [make_inputs([recipe], seed)["x"][0, 0] for seed in range(4)] == [0, 4, 8, 0]
    assert make_inputs([recipe.with_rows(1)], 1)["x"].tolist() in ([[4, 5]], [[6, 7]])


def test_recorded_samples_without_the_files_are_the_default_values():
    seen = observed_recipes([ObservedTensor("x", DType.FP32, (2, 2), "samples")])
    assert np.array_equal(
        make_inputs(seen, 0)["x"], make_inputs([InputRecipe("x", DType.FP32, (2, 2))], 0)["x"]
    )
