"""Tables, columns, character sets: what the values of a table mean. No I/O."""
