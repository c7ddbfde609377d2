"""Load engines: HTTP/1.1 and HTTP/2 over non-blocking sockets, and streams over grpcio."""
