"""Alert rules and dashboard, from tables; their queries are held against what is served."""
