"""The stages that a part goes through, and what they share."""
