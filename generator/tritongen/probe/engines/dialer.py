"""Sockets to one server, for engines and for a first look at it."""

import errno
import socket
import ssl

from tritongen.errors import EnvironmentProblem
from tritongen.triton.address import Endpoint

# What a non-blocking socket says when it has nothing to do now.
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Dialer:
    """Opens sockets to one server.

    Plain sockets are opened without waiting; TLS sockets with their handshake, which waits.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float, alpn: str = "") -> None:
        """Look the host up once.

        Args:
            endpoint: of the server.
            timeout_s: for each connection.
            alpn: the protocol that TLS agrees on, empty for none.

        Raises:
            EnvironmentProblem: TG901, the host has no address; TG834, a certificate cannot be used.
        """
        self.where = endpoint.address
        self._host = endpoint.host
        self._timeout_s = timeout_s
        try:
            found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        except OSError as fault:
            raise EnvironmentProblem("TG901", str(fault), where=self.where) from None
        self._family, self._address = found[0][0], found[0][4]
        self._context = endpoint.tls.context() if endpoint.tls is not None else None
        if self._context is not None and alpn:
            self._context.set_alpn_protocols([alpn])

    @property
    def tls(self) -> bool:
        """Whether sockets speak TLS."""
        return self._context is not None

    def dial(self, *, wait: bool) -> tuple[socket.socket, bool]:
        """A non-blocking socket, and whether it is still connecting.

        Raises:
            EnvironmentProblem: TG901, the connection was refused or timed out.
        """
        try:
            return self._open(wait=wait)
        except OSError as fault:
            what = f"no connection: {fault.strerror or fault}"
            raise EnvironmentProblem("TG901", what, where=self.where) from None

    def _open(self, *, wait: bool) -> tuple[socket.socket, bool]:
        opened = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if wait or self._context is not None:
                opened.settimeout(self._timeout_s)
                opened.connect(self._address)
                if self._context is not None:
                    opened = self._context.wrap_socket(opened, server_hostname=self._host)
                opened.setblocking(False)
                return opened, False
            opened.setblocking(False)
            error = opened.connect_ex(self._address)
            if error not in {0, errno.EINPROGRESS}:
                raise OSError(error, errno.errorcode.get(error, "connect failed"))
        except OSError:
            opened.close()
            raise
        return opened, error == errno.EINPROGRESS
