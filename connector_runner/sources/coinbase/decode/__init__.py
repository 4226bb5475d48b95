"""From bytes to messages, without I/O."""
