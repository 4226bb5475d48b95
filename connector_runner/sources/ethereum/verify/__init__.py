"""What proves that an answer is whole: hashes, counts, roots and blooms, and which chains lack which of them. Pure."""
