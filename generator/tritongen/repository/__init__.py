"""The model repository: init, build, check, compare, explain; it is always written whole."""
