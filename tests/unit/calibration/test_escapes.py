"""Escapes of defective parts."""

from calibration.escapes import escape_rate


def test_a_part_escapes_that_exceeds_no_threshold() -> None:
    assert escape_rate([(1.0,), (2.0,), (3.0,)], [2.0], confidence=0.95).count == 2
    zones = [(1.0, 9.0), (1.0, 2.0), (3.0, 2.0)]
    assert escape_rate(zones, [2.0, 5.0], confidence=0.95).count == 1
