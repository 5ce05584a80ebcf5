"""Learning good parts: data, backbones, models, fitting, metrics and figures."""
