"""The good parts as the charts of `inspection.drift.charts` see them."""

from __future__ import annotations

from pydantic import ConfigDict

from inspection.drift.frame_figures import GrayImage
from inspection.errors import BundleError, FrameError
from inspection.images import decode_image
from inspection.trust.sealed import Strict


class Baseline(Strict):
    """The figures of good parts, and the limits that follow; kept with the thresholds.

    Attributes:
        values: for each channel, the figures of the good parts in ascending order.
        run_length: parts between two false alarms that the limits are set for.
        slack: of the CUSUM, in standard deviations; half the shift that it finds soonest.
        weight: of the newest part in the EWMA.
        cusum_limit: in standard deviations.
        ewma_limit: of the EWMA itself, in standard deviations of one part.
        window: parts in one Kolmogorov-Smirnov test.
        window_limit: largest distance of distribution functions without alarm.
        reference_png: the image to measure positions against, see
            `inspection.drift.frame_figures`; empty when positions are not watched.
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
            BundleError: it is not an image.
        """
        if not self.reference_png:
            return None
        try:
            return decode_image(self.reference_png, "the reference image of the drift baseline")
        except FrameError as error:
            raise BundleError(f"{error}: calibrate again") from error
