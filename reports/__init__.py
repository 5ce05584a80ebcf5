"""Draws HTML pages, pictures, charts and contact sheets from plain data."""
