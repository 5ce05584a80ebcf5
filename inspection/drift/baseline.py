"""Defines the baseline of good parts for `inspection.drift.charts`."""

from __future__ import annotations

from pydantic import ConfigDict

from inspection.drift.frame_figures import GrayImage
from inspection.errors import BundleError, FrameError
from inspection.images import decode_image
from inspection.trust.sealed import Strict


class Baseline(Strict):
    """Figures of the good parts and the limits derived from them; stored with the thresholds.

    Attributes:
        values: for each channel, the figures of the good parts in ascending order.
        run_length: number of parts between two false alarms for which the limits are set.
        slack: slack of the CUSUM, in standard deviations; half the shift that it finds soonest.
        weight: weight of the newest part in the EWMA, 0 to 1.
        cusum_limit: limit of the CUSUM, in standard deviations.
        ewma_limit: limit of the EWMA, in standard deviations of one part.
        window: number of parts in one Kolmogorov-Smirnov test.
        window_limit: largest distance of the distribution functions without alarm.
        reference_png: reference image for positions, see `inspection.drift.frame_figures`; empty
            when the charts do not watch positions.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    values: dict[str, tuple[float, ...]]
    run_length: float
    slack: float
    weight: float
    cusum_limit: float
    ewma_limit: float
    window: int
    window_limit: float
    reference_png: bytes = b""

    def reference(self) -> GrayImage | None:
        """Returns the reference image; None when there is none.

        Raises:
            BundleError: the stored bytes are not an image.
        """
        if not self.reference_png:
            return None
        try:
            return decode_image(self.reference_png, "the reference image of the drift baseline")
        except FrameError as error:
            raise BundleError(f"{error}: calibrate again") from error
