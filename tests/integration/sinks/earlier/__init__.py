"""Datasets as the build at commit 49d065b left them, and what their connector does next."""
