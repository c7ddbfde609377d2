"""One HTTP/2 connection: frames in both directions, flow control, streams."""

import contextlib
import socket
from collections.abc import Callable
from typing import Generic

from tritongen.probe.engines import frames
from tritongen.probe.engines.dialer import WOULD_BLOCK
from tritongen.probe.engines.frames import END_STREAM, HEAD, MAX_COST, FloodGuard, FrameError
from tritongen.probe.engines.grpc_messages import HeaderReader
from tritongen.probe.engines.http2_stream import S, StreamOwner

_TOP_UP_BYTES = 1 << 29  # Chosen: a quarter of what the peer may send before it is told more.
_MAX_BLOCK_BYTES = 1 << 16  # Chosen: what hpack takes of headers; gRPC takes a quarter of it.
_MAX_REFUSALS = 20  # Chosen: a server that refuses a stream so often will not take it.
_NOTHING = memoryview(b"")


class Http2Connection(Generic[S]):
    """A socket that speaks HTTP/2.

    Attributes:
        socket: non-blocking.
        fd: its descriptor.
        streams: slots by the stream's number as four bytes.
        draining: no stream may be opened any more.
        ready: the peer's settings have come.
        waiting: slots whose stream waits for the peer's limit.
    """

    def __init__(
        self, opened: socket.socket, block: bytes, owner: StreamOwner[S], last_id: int
    ) -> None:
        """Greet the peer over a connected socket; the greeting goes out with the next `flush`.

        Args:
            opened: the socket.
            block: headers of every request.
            owner: who is told what happens.
            last_id: the stream from this number on is the last one; then it drains.
        """
        self.socket = opened
        self.fd = opened.fileno()
        self.streams: dict[bytes, S] = {}
        self.draining = False
        self.ready = False
        self._next_id = 1
        self._last_id = last_id
        self._owner = owner
        self._block = block
        self._prefix = frames.header_prefix(frames.HEADERS, frames.END_HEADERS, len(block))
        self._data_prefixes: dict[int, bytes] = {}
        self._headers = HeaderReader()
        self._out: list[bytes] = [frames.GREETING]
        self._unsent = _NOTHING
        self._written_id = 1
        self._guard = FloodGuard()
        self._lost_streams = 0
        self._blocked: list[S] = []
        self._send_window = self._stream_window = frames.DEFAULT_WINDOW
        self._frame_limit = self._quick_limit = frames.DEFAULT_FRAME
        self._max_streams = 1 << 30
        self.waiting: list[S] = []
        self._received = 0
        self._pending = b""
        self._skip: tuple[bytes, int, int] | None = None
        self._fragments: tuple[int, bytes, bytearray] | None = None

    def close(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self.socket.close()

    def open_stream(self, slot: S) -> None:
        """Send the slot's request as soon as the peer allows it; `flush` puts it on the wire."""
        if self.waiting or len(self.streams) >= self._max_streams:
            self.waiting.append(slot)
            self.admit()
        else:
            self._start(slot)

    def _start(self, slot: S) -> None:
        """Open the slot's stream."""
        number = self._next_id
        self._next_id = number + 2
        if number >= self._last_id:
            self.draining = True
        slot.key = key = number.to_bytes(4, "big")
        self.streams[key] = slot
        size = len(slot.request)
        if size <= self._quick_limit and size <= self._send_window and not self._blocked:
            self._send_window -= size
            data_prefix = self._data_prefixes.get(size)
            if data_prefix is None:
                data_prefix = self._block + frames.header_prefix(frames.DATA, END_STREAM, size)
                self._data_prefixes[size] = data_prefix
            self._out += (self._prefix, key, data_prefix, key, slot.request)
            return
        self._out += (self._prefix, key, self._block)
        slot.offset, slot.window = 0, self._stream_window
        self._blocked.append(slot)
        self._resume()

    def _resume(self) -> None:
        """Frame what the windows allow of the requests that wait for them, in order."""
        self._blocked = [
            slot
            for slot in self._blocked
            if self.streams.get(slot.key) is slot and not self._push(slot)
        ]

    def _push(self, slot: S) -> bool:
        """Frame as much of one request as the windows allow; True when all of it was."""
        request = slot.request
        while slot.offset < len(request):
            room = min(self._send_window, slot.window, self._frame_limit)
            if room <= 0:
                return False
            piece = request[slot.offset : slot.offset + room]
            slot.offset += len(piece)
            self._send_window -= len(piece)
            slot.window -= len(piece)
            flags = END_STREAM if slot.offset == len(request) else 0
            self._out += (frames.header_prefix(frames.DATA, flags, len(piece)), slot.key, piece)
        return True

    def cancel(self, slot: S) -> None:
        """Forget the slot's stream and tell the peer."""
        if self.streams.pop(slot.key, None) is not None:
            stream, code = int.from_bytes(slot.key, "big"), int(frames.ErrorCode.CANCEL)
            self._out.append(frames.frame(frames.RST_STREAM, 0, stream, code.to_bytes(4, "big")))
            self._lost_streams += 1
        if slot in self.waiting:
            self.waiting.remove(slot)

    def flush(self) -> None:
        """Write what is to be written, as far as the socket takes it.

        Raises:
            OSError: the connection is lost, or the peer asks for more than it reads.
        """
        if self._unsent:
            self._out.insert(0, bytes(self._unsent))
        if not self._out:
            return
        data = b"".join(self._out)
        self._out.clear()
        self._written_id = self._next_id
        position = 0
        send: Callable[[bytes | memoryview], int] = self.socket.send
        try:
            position = send(data)
            while position < len(data):
                position += send(memoryview(data)[position:])
        except WOULD_BLOCK:
            pass
        self._unsent = memoryview(data)[position:] if position < len(data) else _NOTHING
        if self._unsent:
            live = (len(slot.request) for slot in self.streams.values())
            self._guard.hold_unsent(len(self._unsent), live)

    def receive(self, data: bytes, now: int) -> None:
        """Take bytes from the peer.

        Raises:
            FrameError: the peer broke the protocol.
        """
        if self._guard.spent > MAX_COST:
            self._guard.judge(self._answered)
        if not self.ready and data.startswith(b"HTTP/"):
            raise FrameError("an HTTP/1.1 server answers")
        if self._skip is not None:
            data = self._continue_data(data, now)
        if self._pending:
            data = self._pending + data
            self._pending = b""
        streams = self.streams
        position, end = 0, len(data)
        while end - position >= HEAD:
            key = data[position + 5 : position + HEAD]
            slot = streams.get(key)
            if slot is not None and not slot.data_frames:
                template = slot.templates.newest
                if template is not None and template.matches(data, position, key):
                    position += template.size
                    self._received += template.payload
                    del streams[key]
                    self._owner.succeed(slot, now)
                    continue
            length = int.from_bytes(data[position : position + 3], "big")
            kind, flags = data[position + 3], data[position + 4]
            if length > frames.OUR_FRAME:
                raise FrameError(f"a frame of {length} bytes")
            begin = position + HEAD
            if end - begin < length:
                begun = kind == frames.DATA and not flags & frames.PADDED and end > begin
                if begun and self._fragments is None:
                    # The rest of the frame is still on its way.
                    self._skip = (key, flags, length - (end - begin))
                    self._data(key, 0, data[begin:], now)
                    return
                self._pending = data[position:]
                return
            position = begin + length
            self._frame(kind, flags, key, data[begin:position], now)
        self._pending = data[position:]

    def _continue_data(self, data: bytes, now: int) -> bytes:
        """More of a DATA frame; returns what lies behind it."""
        assert self._skip is not None  # noqa: S101  (asked for only then)
        key, flags, left = self._skip
        part = data[:left]
        left -= len(part)
        self._skip = (key, flags, left) if left else None
        slot = self.streams.get(key)
        if slot is not None:
            slot.data_frames -= 1
        self._data(key, 0 if left else flags, part, now)
        return data[len(part) :]

    def _frame(self, kind: int, flags: int, key: bytes, payload: bytes, now: int) -> None:
        """One whole frame."""
        if self._fragments is not None and kind != frames.CONTINUATION:
            raise FrameError("a header block was interrupted")
        if kind == frames.DATA:
            # Padding counts for flow control.
            content = frames.unpadded(payload, flags, headers=False)
            self._received += len(payload) - len(content)
            if len(content) < frames.FULL_DATA:
                self._guard.spent += 1
            self._data(key, flags, content, now)
        elif kind == frames.HEADERS:
            self._guard.spend(payload)
            content = frames.unpadded(payload, flags, headers=True)
            self._fragments = (flags, key, bytearray(content))
            self._block_part(b"", bool(flags & frames.END_HEADERS), now)
        elif kind == frames.CONTINUATION:
            if self._fragments is None or self._fragments[1] != key:
                raise FrameError("CONTINUATION without a header block")
            self._guard.spend(payload)
            self._block_part(payload, bool(flags & frames.END_HEADERS), now)
        else:
            self._control(kind, flags, key, payload, now)

    def _control(self, kind: int, flags: int, key: bytes, payload: bytes, now: int) -> None:
        self._guard.charge(payload, self._answered)
        if kind == frames.WINDOW_UPDATE:
            self._window(key, frames.increment_of(payload))
        elif kind == frames.SETTINGS:
            if not flags & frames.ACK:
                self._settings(payload)
        elif kind == frames.PING:
            frames.see_size(payload, 8, "PING")
            if not flags & frames.ACK:
                self._reply(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.RST_STREAM:
            frames.see_size(payload, 4, "RST_STREAM")
            self._reset(key, int.from_bytes(payload, "big"), now)
        elif kind == frames.GOAWAY:
            self._goaway(payload)
        elif kind == frames.PUSH_PROMISE:
            raise FrameError("PUSH_PROMISE though it was switched off")

    def _reply(self, answer: bytes) -> None:
        """Answer a frame; a peer that asks and does not read is lost."""
        self._guard.count_reply(unread=bool(self._unsent))
        self._out.append(answer)

    @property
    def _answered(self) -> int:
        """Streams that the peer has answered, so that right answers need not be counted."""
        return self._next_id // 2 - len(self.streams) - self._lost_streams

    def _live(self, key: bytes) -> S | None:
        """The slot of a stream, whose request must have been sent."""
        slot = self.streams.get(key)
        if slot is not None and int.from_bytes(key, "big") >= self._written_id:
            raise FrameError("an answer to a request that was not sent")
        return slot

    def _reset(self, key: bytes, code: int, now: int) -> None:
        """The peer ended a stream."""
        slot = self._live(key)
        if slot is None:
            return
        del self.streams[key]
        self._lost_streams += 1
        slot.refusals += 1
        if code == frames.ErrorCode.REFUSED_STREAM and slot.refusals <= _MAX_REFUSALS:
            # The peer did nothing with it; every gRPC client sends it again without a word. While
            # others are open it has enough to do: then the end of one of them makes room.
            if self.streams:
                self.waiting.append(slot)
            else:
                self._owner.send_elsewhere([slot])
            return
        failure = (f"RST {frames.error_name(code)}", "the server reset the stream")
        self._owner.complete(slot, failure, now)

    def _data(self, key: bytes, flags: int, content: bytes, now: int) -> None:
        self._received += len(content)
        if self._received >= _TOP_UP_BYTES:
            self._out.append(frames.window_update(0, self._received))
            self._received = 0
        slot = self.streams.get(key)
        if slot is None:
            return
        slot.data_frames += 1
        slot.size += len(content)
        room = slot.keep - len(slot.head)
        if room > 0:
            slot.head += content[:room]
        if flags & END_STREAM:
            del self.streams[key]
            self._owner.complete(slot, ("MALFORMED", "the response has no trailers"), now)

    def _block_part(self, part: bytes, last: bool, now: int) -> None:
        """A part of a header block; the whole of it with the last part."""
        assert self._fragments is not None  # noqa: S101  (set by the callers)
        flags, key, collected = self._fragments
        collected += part
        if len(collected) > _MAX_BLOCK_BYTES:
            raise FrameError("a header block that is too large")
        if not last:
            return
        self._fragments = None
        block = bytes(collected)
        if not self._headers.is_known(block):
            self._guard.spent += frames.DECODING_COST
        facts = self._headers.read(block)
        slot = self._live(key)
        if slot is None:
            return
        if not flags & END_STREAM:
            if 100 <= facts.http_status < 200:
                return
            slot.first_block = block
            slot.quick = flags == frames.END_HEADERS and self._headers.is_known(block)
            if facts.http_status not in {0, 200}:
                del self.streams[key]
                self._owner.complete(slot, facts.failure, now)
            return
        del self.streams[key]
        slot.last_block = block
        slot.quick = (
            slot.quick
            and slot.data_frames == 1
            and flags == frames.END_HEADERS | END_STREAM
            and bool(slot.first_block)
            and self._headers.is_known(block)
        )
        self._owner.complete(slot, facts.failure, now)

    def _settings(self, payload: bytes) -> None:
        # The last value of each key holds.
        for key, value in dict(frames.read_settings(payload)).items():
            if key == frames.INITIAL_WINDOW_SIZE:
                for slot in self._blocked:
                    slot.window += value - self._stream_window
                self._stream_window = value
            elif key == frames.MAX_FRAME_SIZE:
                self._frame_limit = value
            elif key == frames.MAX_CONCURRENT_STREAMS:
                self._max_streams = value
        self._quick_limit = min(self._frame_limit, self._stream_window)
        self.ready = True
        self._reply(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._resume()
        self.admit()

    def _window(self, key: bytes, increment: int) -> None:
        if key == b"\0\0\0\0":
            self._send_window += increment
            if self._send_window > frames.MAX_WINDOW:
                raise FrameError("the connection's window overflows")
        elif self._blocked:
            slot = self.streams.get(key)
            if slot is not None:
                slot.window += increment
        if self._blocked:
            self._resume()

    def _goaway(self, payload: bytes) -> None:
        frames.see_size(payload[:8], 8, "GOAWAY")  # what follows is for people
        last = int.from_bytes(payload[:4], "big") & frames.MAX_WINDOW
        self.draining = True
        unseen = [slot for key, slot in self.streams.items() if int.from_bytes(key, "big") > last]
        for slot in unseen:
            del self.streams[slot.key]
        self._lost_streams += len(unseen)
        unseen += self.waiting
        self.waiting = []
        if unseen:
            self._owner.send_elsewhere(unseen)

    def admit(self) -> None:
        """Open the streams that waited for the peer's limit."""
        while self.waiting and len(self.streams) < self._max_streams:
            self._start(self.waiting.pop(0))
