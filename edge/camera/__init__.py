"""Cameras, imported only when a configuration names them."""
