"""What a peer may make a connection do without answering any request."""

from collections.abc import Iterable

from tritongen.probe.grpc.frames import FrameError

# Between two answers. Chosen: a tenth of a second of reading frames, and far more than the headers
# of ten thousand responses that all begin before the first one ends.
MAX_COST = 50_000
# A DATA frame with so many bytes brings its answer nearer; smaller ones are counted.
FULL_DATA = 1_024
# Header blocks cost time for every byte, at worst 1.3 µs in hpack: so many cost as much as one more
# frame, and four seconds of reading are the most that a flood of headers takes.
_BYTES_A_FRAME = 48
# Decoding a block takes as long as reading so many frames more; most blocks are known.
DECODING_COST = 2
# Acknowledgements that wait because the peer does not read. Chosen: 170 kB of PING.
_MAX_UNREAD_REPLIES = 10_000
# Unsent bytes beyond the requests that are open. Chosen: what was cancelled may wait, too.
_MAX_UNSENT_BYTES = 64 << 20


class FloodGuard:
    """Counts frames that bring no answer, and ends a connection that brings nothing else.

    Attributes:
        spent: cost of these frames since the last answer that was noticed; looked at once a read.
    """

    __slots__ = ("_answered", "_unread", "spent")

    def __init__(self) -> None:
        self.spent = 0
        self._answered = 0
        self._unread = 0

    def spend(self, payload: bytes) -> None:
        """Count a frame whose bytes have to be looked at one by one."""
        self.spent += 1 + len(payload) // _BYTES_A_FRAME

    def charge(self, payload: bytes, answered: int) -> None:
        """Count such a frame, and see at once whether it is one too many.

        Args:
            payload: of the frame.
            answered: streams that the peer has answered so far.

        Raises:
            FrameError: it is.
        """
        self.spend(payload)
        if self.spent > MAX_COST:
            self.judge(answered)

    def judge(self, answered: int) -> None:
        """Begin anew after an answer.

        Args:
            answered: streams that the peer has answered so far.

        Raises:
            FrameError: there was none since this was asked last.
        """
        if answered == self._answered:
            raise FrameError(f"a flood of frames: over {MAX_COST:,} and no answer among them")
        self._answered = answered
        self.spent = 0

    def count_reply(self, *, unread: bool) -> None:
        """Count an acknowledgement.

        Args:
            unread: the peer has not read what was sent before.

        Raises:
            FrameError: too many of them wait.
        """
        self._unread = self._unread + 1 if unread else 0
        if self._unread > _MAX_UNREAD_REPLIES:
            raise FrameError(f"{_MAX_UNREAD_REPLIES:,} acknowledgements were asked for, none read")

    def hold_unsent(self, unsent: int, requests: Iterable[int]) -> None:
        """See that not much more waits to be sent than the requests that are open.

        Args:
            unsent: bytes that the socket did not take.
            requests: sizes of the open requests; looked at only where that is much.

        Raises:
            ConnectionAbortedError: it is more.
        """
        if unsent > _MAX_UNSENT_BYTES and unsent > _MAX_UNSENT_BYTES + sum(requests):
            raise ConnectionAbortedError("the server ends requests that it does not read")
