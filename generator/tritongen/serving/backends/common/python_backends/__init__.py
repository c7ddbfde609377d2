"""What the Python-based backends beside this folder share.

Free of the rest of `tritongen`: the standard library, numpy and the module that Triton's stub
provides are all that is imported. A backend's `model.py` puts this package's folder on `sys.path`.
"""
