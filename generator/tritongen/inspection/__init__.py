"""One reader per format, from files to ModelFacts; validation of I/O; the trial run."""
