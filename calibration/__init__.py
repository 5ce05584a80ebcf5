"""Sets thresholds from good parts. Runs on the device: never imports torch."""
