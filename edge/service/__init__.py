"""A line as a service: its files, and its messages to systemd, Prometheus and the journal."""
