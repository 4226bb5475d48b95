"""The control plane: a Kopf operator that reconciles Connector and Dataset resources."""
