"""A line, put together: its configuration, assembly, status, alarms and control socket."""
