"""What the control plane reads and writes, as values: resources, Jobs and pods. Pure: no client, no clock, no cluster."""
