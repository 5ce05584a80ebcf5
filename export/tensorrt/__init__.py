"""TensorRT plans on the device: build, compare with the checkpoint, measure, keep."""
