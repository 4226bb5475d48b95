"""From block numbers to blocks' contents that can be believed: single blocks, logs, what is fetched ahead, and what is read again."""
