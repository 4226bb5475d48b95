"""What all sinks have in common. Modules here are pure; only `blocking` and `sqlite` connect to a database."""
