"""The ETHEREUM source."""
