"""The MYSQL source."""
