"""The Helm chart, from the manifests, the operator's settings and one table of values."""
