"""What the page about thresholds needs: calibrations, their curve, the parts judged again."""
