"""Models made servable, batchable and cheaper; each step proven or measured.

The modules that do the work need onnx and onnxruntime and run in a child process; `child_jobs` says
what is asked of it and what it answers.
"""
