"""Artefacts of lower precision: FP16 and INT8 graphs made from the FP32 one, kept when they agree.

Precision lives in the graph: every engine runs what the file says. `nodes` names the nodes that may
leave FP32, `fp16` and `int8` write the graphs, `judge` and `outcome` compare them with the
checkpoint, `search`
finds the nodes that must stay in FP32, `build_variants` builds the nearest graph of each kind, and
`select` chooses the files that go into a bundle.
"""
