"""The fast gRPC engine: hand-framed HTTP/2 over non-blocking sockets."""
