"""What is to be done, from what was observed: pure values in, pure values out, the clock included."""
