"""The schemas and constants that the control plane and the data plane share; the only part of the runner that the operator uses.

Pure values: configuration schemas (`config`), the input of a runner (`manifest`), the result of a discovery (`catalogue`),
and how a runner ends (`outcome`).
"""
