"""What datasets of columnar files (lake tables) do alike: rows as columns of Arrow, changes by key, staged Parquet files, pacing."""
