"""Which sizes to try for the axes that a model leaves open.

Axis 0 of every input is taken for a batch axis first and gets one row. Axes with the same symbol
get the same size. The first proposal is what models of that form usually take; further ones
follow, the likelier first, until the runtime accepts one.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType

from tritongen.model.intent import AxisIntent
from tritongen.model.tensors import Dim, DType, is_dynamic
from tritongen.trial.child_request import Feed

Sizes = Mapping[str, tuple[int, ...]]
# A symbol, or (input, axis) for an axis without one.
_Key = str | tuple[str, int]


class _Role(Enum):
    """What an open axis usually is, with the sizes to try, the likelier first."""

    ROWS = (1, 16, 2, 8)
    CHANNELS = (3, 1, 4, 16, 32, 64)
    PIXELS = (224, 64, 256, 640, 320, 299, 512, 48, 32, 96, 128, 16, 8, 1)
    SAMPLES = (16000, 512, 1024, 8000, 48000, 256, 576, 1, 16, 80)
    STEPS = (16, 1, 512, 128, 64, 32, 256, 8, 1024, 4, 2, 80, 100, 576, 16000, 3)


_ROWS_WORDS = {"batch", "batchsize", "bs", "n", "b"}
_STATE_WORDS = {"state", "states", "hidden", "cell", "h", "c", "h0", "c0", "hx", "cx", "memory"}
_AUDIO_WORDS = {"audio", "waveform", "wave", "wav", "speech", "samples", "pcm"}
_IMAGE_CHANNELS = {1, 3, 4}
_UNKNOWN_RANK: tuple[Dim, ...] = (None,)
# With more open axes than this, mixtures are too many to hope for.
_MAX_MIXED_AXES = 24
_NOTHING: Mapping[str, AxisIntent] = MappingProxyType({})
_SYMBOL = re.compile(r"[A-Za-z_][\w.:/-]*")


def propose_sizes(
    feeds: Sequence[Feed], stated: Mapping[str, AxisIntent] = _NOTHING, *, one_row: bool = True
) -> Iterator[Sizes]:
    """Full shapes for every input, without end of patience: the caller stops.

    Args:
        feeds: the inputs, with the user's own sizes where given.
        stated: what the user says of axes, by label.
        one_row: whether an open axis 0 gets one row. Without it, axis 0 is an axis like others.
    """
    known = _known_sizes(feeds, one_row=one_row)
    roles: dict[_Key, tuple[int, ...]] = {}
    for feed in feeds:
        for axis, dim in enumerate(_shape(feed)):
            for key in _keys(feed, axis, dim):
                if key not in known and key not in roles:
                    said = stated.get(_label(key), AxisIntent())
                    roles[key] = said.among(_role(feed, axis).value)
    seen = set()
    for choice in _choices(list(roles.values())):
        sizes = known | dict(zip(roles, choice, strict=True))
        proposal = {feed.name: _fill(feed, sizes, one_row=one_row) for feed in feeds}
        identity = tuple(proposal.values())
        if identity not in seen:
            seen.add(identity)
            yield proposal


def axis_labels(feed: Feed, axis: int) -> list[str]:
    """What decides the size of one axis: nothing where it is fixed, several for a sum."""
    return [_label(key) for key in _keys(feed, axis, _shape(feed)[axis])]


def _label(key: _Key) -> str:
    return key if isinstance(key, str) else f"{key[0]}[{key[1]}]"


def opens_with_rows(feed: Feed) -> bool:
    """Whether the input has an axis 0 whose size is open."""
    shape = _shape(feed)
    return bool(shape) and is_dynamic(shape[0])


def shared_axis(feed: Feed, symbol: Dim) -> int | None:
    """The first axis beyond 0 that carries this symbol, None when there is none."""
    if not isinstance(symbol, str) or not _SYMBOL.fullmatch(symbol):
        return None
    return next((axis for axis, dim in enumerate(_shape(feed)) if axis and dim == symbol), None)


def _shape(feed: Feed) -> tuple[Dim, ...]:
    if feed.shape is not None:
        return feed.shape
    return _UNKNOWN_RANK if feed.sizes is None else (None,) * len(feed.sizes)


def _keys(feed: Feed, axis: int, dim: Dim) -> list[_Key]:
    """The unknowns in one axis: none when fixed, several when it is a sum of symbols."""
    if isinstance(dim, int):
        return []
    terms = _terms(dim)
    if terms is None:
        return [(feed.name, axis)]
    return [term for term in terms if isinstance(term, str)]


def _terms(dim: str | None) -> list[str | int] | None:
    """The summands of ``past + 1``; None when the text is no sum of symbols."""
    if dim is None:
        return None
    terms: list[str | int] = []
    for part in (piece.strip() for piece in dim.split("+")):
        if part.isdecimal():
            terms.append(int(part))
        elif _SYMBOL.fullmatch(part):
            terms.append(part)
        else:
            return None
    return terms


def _known_sizes(feeds: Sequence[Feed], *, one_row: bool) -> dict[_Key, int]:
    """Sizes that are not open to choice: one row, and what the user says."""
    known: dict[_Key, int] = {}
    for feed in feeds:
        for axis, dim in enumerate(_shape(feed)):
            keys = _keys(feed, axis, dim)
            if len(keys) != 1:
                continue
            if axis == 0 and one_row:
                known[keys[0]] = 1
            elif feed.sizes is not None and keys[0] in {dim, (feed.name, axis)}:
                known.setdefault(keys[0], feed.sizes[axis])
    return known


def _fill(feed: Feed, sizes: Mapping[_Key, int], *, one_row: bool) -> tuple[int, ...]:
    shape = _shape(feed)
    if feed.sizes is not None:
        return (1, *feed.sizes[1:]) if one_row and opens_with_rows(feed) else feed.sizes
    return tuple(_size(feed, axis, dim, sizes) for axis, dim in enumerate(shape))


def _size(feed: Feed, axis: int, dim: Dim, sizes: Mapping[_Key, int]) -> int:
    if isinstance(dim, int):
        return dim
    terms = _terms(dim)
    if terms is None:
        return sizes[feed.name, axis]
    return sum(term if isinstance(term, int) else sizes[term] for term in terms)


def _choices(roles: list[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """One size of each: all firsts, then all of a kind moved together, then every mixture.

    Mixtures come in the order of how far they are from the firsts.
    """
    longest = max((len(role) for role in roles), default=1)
    for step in range(longest):
        yield tuple(role[min(step, len(role) - 1)] for role in roles)
    if len(roles) > _MAX_MIXED_AXES:
        return
    for distance in range(1, sum(len(role) - 1 for role in roles) + 1):
        for steps in _compositions(distance, [len(role) - 1 for role in roles]):
            yield tuple(role[step] for role, step in zip(roles, steps, strict=True))


def _compositions(total: int, bounds: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every way to write `total` as a sum of numbers within the bounds."""
    if not bounds:
        if total == 0:
            yield ()
        return
    rest = sum(bounds[1:])
    for first in range(max(0, total - rest), min(total, bounds[0]) + 1):
        for others in _compositions(total - first, bounds[1:]):
            yield (first, *others)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+\d?", text.lower()))


def _role(feed: Feed, axis: int) -> _Role:
    """The usual meaning of one open axis, by its symbol, then the input's form, then its name."""
    shape = _shape(feed)
    dim = shape[axis]
    words = _words(dim) if isinstance(dim, str) else set()
    if words & _ROWS_WORDS:
        return _Role.ROWS
    if words & {"height", "width", "h", "w"}:
        return _Role.PIXELS
    if words & {"channel", "channels"}:
        return _Role.CHANNELS
    if words & {"seq", "sequence", "time", "frames", "tokens", "len", "length"}:
        return _Role.SAMPLES if words & _AUDIO_WORDS else _Role.STEPS
    if len(shape) >= 4 and feed.dtype is not DType.BYTES:
        return _image_role(shape, axis)
    if len(shape) == 3 and not is_dynamic(shape[0]):
        if shape[0] in _IMAGE_CHANNELS - {1} and is_dynamic(shape[1]) and is_dynamic(shape[2]):
            return _Role.PIXELS
        if axis == 1 and _words(feed.name) & _STATE_WORDS:
            return _Role.ROWS
    if feed.dtype.is_float and _words(feed.name) & _AUDIO_WORDS:
        return _Role.SAMPLES
    return _Role.STEPS


def _image_role(shape: Sequence[Dim], axis: int) -> _Role:
    last = len(shape) - 1
    channels = last if shape[last] in _IMAGE_CHANNELS and shape[1] not in _IMAGE_CHANNELS else 1
    if axis == channels:
        return _Role.CHANNELS
    if len(shape) > 4 and axis < last - 2 + (channels == 1):
        # The frames of a video: [batch, channels, frames, height, width].
        return _Role.STEPS
    if shape[channels] in _IMAGE_CHANNELS or is_dynamic(shape[channels]):
        return _Role.PIXELS
    # Feature maps and key-value caches: [batch, heads, steps, size].
    return _Role.STEPS
