"""The words that everyone speaks: data and decisions, without I/O, clock or chance."""
