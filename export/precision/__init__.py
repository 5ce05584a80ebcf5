"""Artefacts of lower precision: FP16 and INT8 graphs made from the FP32 one, kept when they agree.

Precision lives in the graph: every engine runs what the file says. `nodes` says which nodes may
compute in less, `fp16` and `int8` write the graphs, `judge` compares them with the checkpoint,
`search` finds what has to stay in FP32, `build_variants` builds the nearest graph of each kind, and
`select` decides which files go into a bundle.
"""
