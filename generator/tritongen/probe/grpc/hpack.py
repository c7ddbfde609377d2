"""A decoder for HPACK header blocks: RFC 7541, complete.

The engine asks its peers for a table of size 0. Once that is in force, equal blocks mean equal
headers, and `Decoder.stateless` says so. Until then, and from peers that do not care, any block
that the RFC allows is understood.
"""

from collections import deque

from tritongen.probe.grpc.hpack_tables import END_OF_STRING, HUFFMAN, STATIC_TABLE, Header

_ENTRY_OVERHEAD = 32
_MOST_HEADERS = 1024
_MOST_STRING = 1 << 20
_MOST_SHIFT = 28
_LONGEST_CODE = 30


class HpackError(Exception):
    """The block cannot be decoded; the connection is lost with it."""


class Decoder:
    """The decoding side of one connection.

    Attributes:
        limit: greatest table size that we allow, from our settings.
        stateless: whether the last block neither used nor changed the dynamic table, and the next
            equal block will mean the same.
    """

    def __init__(self, limit: int = 4096) -> None:
        """Begin with an empty table; 4,096 is what holds before any settings."""
        self.limit = limit
        self.stateless = False
        self._size = 0
        self._allowed = 4096
        self._entries: deque[Header] = deque()

    def decode(self, block: bytes) -> list[Header]:
        """The headers of a complete block, in order.

        Raises:
            HpackError: it is not a valid block.
        """
        headers: list[Header] = []
        position = 0
        self.stateless = self._allowed == 0
        while position < len(block):
            first = block[position]
            if first & 0x80:
                index, position = _integer(block, position, 7)
                headers.append(self._entry(index))
            elif first & 0x40:
                name, value, position = self._literal(block, position, 6)
                headers.append((name, value))
                self._insert(name, value)
            elif first & 0x20:
                if headers:
                    raise HpackError("the table size changes in the middle of a block")
                size, position = _integer(block, position, 5)
                self._resize(size)
                self.stateless = False
            else:
                name, value, position = self._literal(block, position, 4)
                headers.append((name, value))
            if len(headers) > _MOST_HEADERS:
                raise HpackError(f"more than {_MOST_HEADERS} headers")
        return headers

    def _literal(self, block: bytes, position: int, bits: int) -> tuple[bytes, bytes, int]:
        index, position = _integer(block, position, bits)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return name, value, position

    def _entry(self, index: int) -> Header:
        if index < 1:
            raise HpackError("index 0")
        if index <= len(STATIC_TABLE):
            return STATIC_TABLE[index - 1]
        self.stateless = False
        place = index - len(STATIC_TABLE) - 1
        if place >= len(self._entries):
            raise HpackError(f"there is no entry {index}")
        return self._entries[place]

    def _insert(self, name: bytes, value: bytes) -> None:
        size = len(name) + len(value) + _ENTRY_OVERHEAD
        if size > self._allowed:
            self._entries.clear()
            self._size = 0
            return
        self._evict(self._allowed - size)
        self._entries.appendleft((name, value))
        self._size += size

    def _resize(self, size: int) -> None:
        if size > max(self.limit, 0):
            raise HpackError(f"the table size {size} is above the limit {self.limit}")
        self._allowed = size
        self._evict(size)

    def _evict(self, room: int) -> None:
        while self._size > room:
            name, value = self._entries.pop()
            self._size -= len(name) + len(value) + _ENTRY_OVERHEAD


def _integer(block: bytes, position: int, bits: int) -> tuple[int, int]:
    """An integer with a prefix of that many bits, and the position behind it."""
    if position >= len(block):
        raise HpackError("the block ends in an integer")
    mask = (1 << bits) - 1
    value = block[position] & mask
    position += 1
    if value < mask:
        return value, position
    shift = 0
    while True:
        if position >= len(block):
            raise HpackError("the block ends in an integer")
        if shift > _MOST_SHIFT:
            raise HpackError("an integer is too large")
        octet = block[position]
        position += 1
        value += (octet & 0x7F) << shift
        shift += 7
        if not octet & 0x80:
            return value, position


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    if position >= len(block):
        raise HpackError("the block ends before a string")
    coded = bool(block[position] & 0x80)
    length, position = _integer(block, position, 7)
    if length > _MOST_STRING or position + length > len(block):
        raise HpackError("a string is longer than the block")
    raw = block[position : position + length]
    return (huffman_decode(raw) if coded else raw), position + length


def huffman_decode(raw: bytes) -> bytes:
    """The text behind Huffman-coded bytes.

    Raises:
        HpackError: no such code, a coded end of string, or padding that is too long or not ones.
    """
    found = bytearray()
    code = length = 0
    for octet in raw:
        for shift in range(7, -1, -1):
            code = (code << 1) | ((octet >> shift) & 1)
            length += 1
            symbol = HUFFMAN.get((length, code))
            if symbol is None:
                if length > _LONGEST_CODE:
                    raise HpackError("there is no such Huffman code")
                continue
            if symbol == END_OF_STRING:
                raise HpackError("the end of a string is coded")
            found.append(symbol)
            code = length = 0
    if length > 7 or code != (1 << length) - 1:
        raise HpackError("the padding of a Huffman code is not its end of string")
    return bytes(found)


def literal(name: bytes, value: bytes) -> bytes:
    """A header to send, as a literal that no table remembers."""
    return b"\x00" + _length(name) + name + _length(value) + value


def _length(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)])
    rest, octets = len(text) - 127, bytearray([127])
    while rest >= 128:
        octets.append(rest % 128 + 128)
        rest //= 128
    octets.append(rest)
    return bytes(octets)
