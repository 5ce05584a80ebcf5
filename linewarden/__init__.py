"""The command `linewarden`."""
