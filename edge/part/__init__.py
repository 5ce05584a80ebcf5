"""The words that all rooms of a line share: trigger, frame, view, record."""
