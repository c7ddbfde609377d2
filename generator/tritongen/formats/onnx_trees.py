"""Tree classifiers of two classes that hold the votes for one of them, as scikit-learn's do."""

import re

from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import LENGTH, Data

# Of AttributeProto: one string, integers, strings.
_TEXT, _INTEGERS, _TEXTS = 4, 8, 9
# Integers that are one number below 128, over and over, with a tag each; then the attribute's type.
_ALL_THE_SAME = re.compile(rb"\x40([\x00-\x7f])(?:\x40\1)*(?:\xa0\x01\x07)?", re.DOTALL)


def votes_for_one_class(data: Data, attributes: list[tuple[int, int]]) -> bool:
    """Whether a TreeEnsembleClassifier counts votes for one of its two classes, as they are.

    The other class gets what is left to 1. Boosting is something else: it transforms a sum.

    Args:
        data: the file.
        attributes: spans of the operator's AttributeProtos.

    Raises:
        DamagedError: a field does not fit.
    """
    labels, one, plain = 0, False, True
    for start, stop in attributes:
        name, at = "", start
        for number, kind, first, last in wire.fields(data, start, stop):
            if number == 1:
                name = wire.text(data, first, last)
            elif name == "post_transform" and number == _TEXT:
                plain = wire.text(data, first, last) == "NONE"
            elif name.startswith("classlabels_") and number in {_INTEGERS, _TEXTS}:
                packed = kind == LENGTH and number == _INTEGERS
                labels += sum(byte < 0x80 for byte in data[first:last]) if packed else 1
                if labels > 2:
                    return False
            elif name == "class_ids" and number == _INTEGERS:
                if kind == LENGTH:
                    one = not bytes(data[first:last]).strip(bytes(data[first : first + 1]))
                else:
                    one = _ALL_THE_SAME.fullmatch(data, at, stop) is not None
                break
            elif number in {7, _INTEGERS, _TEXTS}:
                break  # a list that nothing is asked of, and of any length
            at = last
    return plain and one and labels == 2
