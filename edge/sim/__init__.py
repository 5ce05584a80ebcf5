"""Simulated machines around a line: PLC, broker, web server, camera, digital outputs, conveyor.

`linewarden simulate` starts them for integrators and demonstrations, and the tests use them as the
other end of a line. To add the peer of a new output, trigger or recipe request, write a file like
`plc` and add its configuration to the table in `edge.sim.outputs`.
"""
