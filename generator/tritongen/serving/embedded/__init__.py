"""A real Triton without Docker and without a GPU: fetched as a wheel, run as a child process."""
