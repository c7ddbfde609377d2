"""The use cases around the repository: init, build, check, explain."""
