from itertools import islice

import pytest

from tritongen.model.tensors import DType
from tritongen.trial.child_request import Feed
from tritongen.trial.sizes import opens_with_rows, propose_sizes, shared_axis

F, INT = DType.FP32, DType.INT64


def first(*feeds, one_row=True):
    return next(propose_sizes(feeds, one_row=one_row))


@pytest.mark.parametrize(
    ("shape", "dtype", "name", "expected"),
    [
        ((None, 3, None, None), F, "x", (1, 3, 224, 224)),
        (("b", None, None, 3), F, "x", (1, 224, 224, 3)),
        ((None, None, None, None), F, "x", (1, 3, 224, 224)),
        ((None, 1, "height", "width"), F, "x", (1, 1, 224, 224)),
        ((3, None, None), F, "x", (3, 224, 224)),
        ((None, 3, None, 112, 112), F, "video", (1, 3, 16, 112, 112)),
        ((None, None, 224, 224, 3), F, "video", (1, 16, 224, 224, 3)),
        (("batch", "seq"), INT, "input_ids", (1, 16)),
        ((None, None, 80), F, "features", (1, 16, 80)),
        ((None, None), F, "waveform", (1, 16000)),
        (("N", 12, "past", 64), F, "past_key", (1, 12, 16, 64)),
        ((2, None, 128), F, "state", (2, 1, 128)),
        (("batch", 10), F, "x", (1, 10)),
        ((None,), F, "x", (1,)),
        ((), F, "x", ()),
        ((4, 0), F, "x", (4, 0)),
        (None, F, "x", (1,)),
        (("?", 3, "?", "?"), F, "x", (1, 3, 224, 224)),
    ],
)
def test_the_first_proposal_is_what_models_of_that_form_take(shape, dtype, name, expected):
    assert first(Feed(name, dtype, shape))[name] == expected


def test_equal_symbols_get_equal_sizes_and_rows_follow_wherever_they_stand():
    proposal = first(
        Feed("ids", INT, ("batch", "seq")),
        Feed("mask", INT, ("batch", "seq")),
        Feed("state", F, (2, "batch", 128)),
    )
    assert proposal == {"ids": (1, 16), "mask": (1, 16), "state": (2, 1, 128)}


def test_sums_of_symbols_are_added_up():
    proposal = first(
        Feed("past", F, ("batch", 4, "past", 8)),
        Feed("mask", INT, ("batch", "past + seq")),
        Feed("ids", INT, ("batch", "seq")),
        Feed("next", INT, ("batch", "past + 1")),
    )
    assert proposal["mask"][1] == proposal["past"][2] + proposal["ids"][1]
    assert proposal["next"][1] == proposal["past"][2] + 1


def test_text_that_is_no_symbol_does_not_tie_axes_together():
    sizes = list(islice(propose_sizes([Feed("x", F, (1, "?", "?"))]), 60))
    assert any(item["x"][1] != item["x"][2] for item in sizes)


def test_the_users_sizes_hold_and_carry_over_to_other_inputs():
    proposals = list(
        propose_sizes(
            [
                Feed("x", F, ("batch", "seq", 4), sizes=(8, 50, 4)),
                Feed("y", F, ("batch", "seq")),
            ]
        )
    )
    assert proposals == [{"x": (1, 50, 4), "y": (1, 50)}]


def test_without_the_one_row_rule_axis_0_is_open_like_others():
    given = Feed("x", F, ("time", 4), sizes=(30, 4))
    assert first(given, one_row=False)["x"] == (30, 4)
    assert first(Feed("x", F, ("time", 4)), one_row=False)["x"] == (16, 4)


def test_proposals_do_not_repeat_and_mix_sizes():
    proposals = list(islice(propose_sizes([Feed("x", F, (1, None)), Feed("y", F, (1, None))]), 80))
    shapes = [(item["x"], item["y"]) for item in proposals]
    assert len(shapes) == len(set(shapes))
    assert ((1, 16), (1, 512)) in shapes
    assert ((1, 512), (1, 1)) in shapes


def test_many_open_axes_come_to_an_end():
    feeds = [Feed(f"x{n}", F, (1, None, None)) for n in range(400)]
    assert len(list(propose_sizes(feeds))) < 30


def test_axes_are_told_apart():
    assert opens_with_rows(Feed("x", F, (None, 3)))
    assert opens_with_rows(Feed("x", F, None))
    assert not opens_with_rows(Feed("x", F, (1, 3)))
    assert not opens_with_rows(Feed("x", F, ()))
    assert shared_axis(Feed("x", F, (2, "batch")), "batch") == 1
    assert shared_axis(Feed("x", F, ("batch", 2)), "batch") is None
    assert shared_axis(Feed("x", F, (2, "?")), "?") is None
