"""Length and width of graphs."""

from tritongen.formats.operator_graph import Extent, Operator, Role, measure


def node(inputs, outputs, role=Role.WORK, weight=1):
    return Operator(role, tuple(inputs), tuple(outputs), weight)


def test_a_chain():
    nodes = [node([index], [index + 1]) for index in range(5)]
    assert measure(nodes, {0}) == Extent(5, 5, 1, cyclic=False)


def test_branches_that_meet():
    nodes = [node([0], [1]), *(node([1], [index]) for index in (2, 3, 4)), node([2, 3, 4], [5])]
    assert measure(nodes, {0}) == Extent(5, 3, 3, cyclic=False)


def test_the_order_in_the_file_does_not_matter():
    nodes = [node([index], [index + 1]) for index in range(5)]
    assert measure(nodes[::-1], {0}) == measure(nodes, {0})


def test_constants_and_what_follows_from_them_cost_nothing():
    nodes = [
        node([], [1], Role.CONSTANT),
        node([1], [2]),
        node([2, 9], [3]),
        node([0, 3], [4]),
    ]
    assert measure(nodes, {0}) == Extent(1, 1, 1, cyclic=False)


def test_shape_arithmetic_does_not_make_a_chain_look_parallel():
    nodes = [
        node([0], [1]),
        node([1], [2], Role.SIZE),
        node([2, 8], [3]),
        node([2, 9], [4]),
        node([3, 4], [5]),
        node([1, 5], [6]),
    ]
    assert measure(nodes, {0}) == Extent(2, 2, 1, cyclic=False)


def test_operators_that_hand_their_input_on_are_not_counted():
    nodes = [node([0], [1], Role.PASS), node([1], [2]), node([2], [3], Role.PASS)]
    assert measure(nodes, {0}) == Extent(1, 1, 1, cyclic=False)


def test_a_random_source_is_work():
    assert measure([node([], [1], Role.CHANCE), node([1], [2])], ()) == Extent(2, 2, 1, False)
    nodes = [node([], [1], Role.CONSTANT), node([1], [2], Role.CHANCE), node([2], [3])]
    assert measure(nodes, ()) == Extent(2, 2, 1, cyclic=False)


def test_a_graph_of_nothing_but_helpers_is_counted_in_full():
    assert measure([node([0], [1], Role.SIZE)], {0}) == Extent(1, 1, 1, cyclic=False)
    nodes = [node([], [1], Role.CONSTANT), node([1], [2])]
    assert measure(nodes, ()) == Extent(2, 2, 1, cyclic=False)


def test_a_sub_graph_weighs_as_much_as_its_operators():
    nodes = [node([0], [1], weight=8), node([0], [2]), node([1, 2], [3])]
    assert measure(nodes, {0}) == Extent(10, 9, 2, cyclic=False)


def test_cycles_and_loose_ends_are_survived():
    ring = [node([1], [2]), node([2], [1])]
    assert measure(ring, {0}) == Extent(0, 0, 0, cyclic=True)
    assert measure([node([0], [5]), *ring], {0}).cyclic
    assert measure([node([7], [7])], ()).cyclic
    assert measure([], ()) == Extent(0, 0, 0, cyclic=False)
    assert not measure([node([42], [1])], ()).cyclic


def test_a_long_graph_needs_no_deep_stack():
    nodes = [node([index], [index + 1]) for index in range(100_000)]
    assert measure(nodes[::-1], {0}) == Extent(100_000, 100_000, 1, cyclic=False)
