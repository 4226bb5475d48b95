"""The schemas and constants that the control plane and the data plane share; the only part of the runner that the operator uses.

Pure values: configuration schemas (`config`), what a runner is given (`manifest`), what a discovery answers (`catalogue`),
and how a runner ends (`outcome`).
"""
