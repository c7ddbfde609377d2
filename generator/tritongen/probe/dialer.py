"""Opens sockets to one server, plain or with TLS."""

import errno
import socket
import ssl

from tritongen.probe.load_engine import EngineOptions

# What a non-blocking socket says when it has nothing to do now.
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Dialer:
    """Opens sockets to one server.

    Plain sockets are opened without waiting; TLS sockets with their handshake, which waits.
    """

    def __init__(self, host: str, port: int, options: EngineOptions, alpn: str = "") -> None:
        """Look the host up once.

        Raises:
            OSError: the host has no address.
        """
        self.host = host
        self.port = port
        self.options = options
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._family, self._address = found[0][0], found[0][4]
        self._context = tls_context(options, alpn) if options.tls else None

    @property
    def tls(self) -> bool:
        """Whether sockets speak TLS."""
        return self._context is not None

    def dial(self, *, wait: bool) -> tuple[socket.socket, bool]:
        """A non-blocking socket, and whether it is still connecting.

        Raises:
            OSError: the connection was refused or timed out.
        """
        opened = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if wait or self._context is not None:
                opened.settimeout(self.options.connect_timeout_s)
                opened.connect(self._address)
                if self._context is not None:
                    opened = self._context.wrap_socket(opened, server_hostname=self.host)
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


def tls_context(options: EngineOptions, alpn: str = "") -> ssl.SSLContext:
    """The client's side of TLS as the options want it."""
    context = ssl.create_default_context(cafile=options.ca_file or None)
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols([alpn])
    return context
