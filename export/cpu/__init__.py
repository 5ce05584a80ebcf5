"""The choice for a processor: try engines, artefacts and precisions, prove, time, keep one."""
