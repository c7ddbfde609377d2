"""This machine: cores, memory, processes, files, locks, ports."""
