"""The fast HTTP/1.1 engine: prebuilt requests over non-blocking sockets."""
