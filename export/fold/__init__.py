"""The table of deployed forms: for each model the module that folds it.

To add one, write a file with a class `Deployed` and add a line to `FOLDS`. `Deployed(model)` gives
the same function as the model in eval mode, folded for inference: uint8 images (N, H, W, 3) BGR to
scores (N,) and maps (N, H, W). It shares the weights that it leaves as they are.
"""

FOLDS = {
    "differnet": "export.fold.differnet",
    "differnet_spatial": "export.fold.differnet_spatial",
    "ganomaly": "export.fold.ganomaly",
    "memory": "export.fold.memory",
    "simplenet": "export.fold.simplenet",
    "subspace": "export.fold.subspace",
    "supersimplenet": "export.fold.supersimplenet",
    "uniad": "export.fold.uniad",
}
