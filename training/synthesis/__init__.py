"""Synthetic anomalies for training."""
