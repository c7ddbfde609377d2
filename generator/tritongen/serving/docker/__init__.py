"""Triton in a container of the Docker Engine: settings from the plan, nothing left behind."""
