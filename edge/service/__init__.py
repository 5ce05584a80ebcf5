"""The line as a service: what it tells systemd, Prometheus and the journal."""
