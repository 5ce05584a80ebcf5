"""Has the line moved away from the good parts? Baseline, charts, figures of a frame."""
