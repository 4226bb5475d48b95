"""What all sinks do alike. Modules here are pure; `blocking` and `sqlite` reach a database."""
