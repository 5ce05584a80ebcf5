"""From a checkpoint to a bundle: folding, export, parity."""
