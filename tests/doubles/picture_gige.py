"""A GigE Vision camera on loopback that streams known pictures until a test kills it.

python -m tests.doubles.picture_gige SERIAL

Each frame has one grey level, in the order of `LEVELS`, so that the score of the tiny bundle
identifies the picture.
"""

from __future__ import annotations

import ctypes
import itertools
import sys

from edge.camera.kind import load_gi

LEVELS = tuple(range(8, 256, 16))


def main(serial: str) -> None:
    """Serves until a signal ends the process."""
    aravis, glib = load_gi("aravis", "gir1.2-aravis-0.8", Aravis="0.8", GLib="2.0")
    camera = aravis.GvFakeCamera.new("127.0.0.1", serial)
    inner = camera.get_fake_camera()
    library = ctypes.CDLL("libaravis-0.8.so.0")
    library.arv_buffer_get_data.restype = ctypes.c_void_p
    levels = itertools.cycle(LEVELS)

    # (buffer, data, exposure time, gain, pixel format)
    kind = ctypes.CFUNCTYPE(
        None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32
    )

    @kind
    def fill(buffer: int, _data: int, _exposure: int, _gain: int, _format: int) -> None:
        size = ctypes.c_size_t()
        pixels = library.arv_buffer_get_data(ctypes.c_void_p(buffer), ctypes.byref(size))
        # The buffer reports a size of 0 here.
        ctypes.memset(pixels, next(levels), inner.get_payload())

    # The address of a GObject is its hash; introspection does not offer this function.
    library.arv_fake_camera_set_fill_pattern(ctypes.c_void_p(hash(inner)), fill, None)
    glib.MainLoop().run()


if __name__ == "__main__":
    main(sys.argv[1])
