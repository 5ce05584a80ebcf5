"""What the pages about labels need: which parts, the nearest good one, thresholds, data sets."""
