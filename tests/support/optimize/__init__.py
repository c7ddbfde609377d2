"""Models with one fault each, and the way to have them fixed, for the tests of `optimize`."""

from support.optimize import faulty
from support.optimize.dump import dump
from support.optimize.fixing import apply_one, fix, fix_context, run, samples_for

__all__ = ["apply_one", "dump", "faulty", "fix", "fix_context", "run", "samples_for"]
