"""What the Jobs look like: pure builders."""
