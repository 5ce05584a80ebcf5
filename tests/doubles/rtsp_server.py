"""An RTSP camera on loopback: prints its address and serves until a signal ends it.

python tests/doubles/rtsp_server.py [port]
"""

from __future__ import annotations

import sys

from edge.camera.kind import load_gi

# Frames carry the time since the start, as those of cameras do. VP8 needs no patented plugin.
_PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=25/1"
    " ! videoconvert ! video/x-raw,format=I420 ! vp8enc deadline=1 keyframe-max-dist=10"
    " ! rtpvp8pay name=pay0 pt=96 )"
)


def main() -> None:
    (glib, gst, rtsp) = load_gi(
        "gstreamer", "gir1.2-gst-rtsp-server-1.0", GLib="2.0", Gst="1.0", GstRtspServer="1.0"
    )
    gst.init(None)
    server = rtsp.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1] if len(sys.argv) > 1 else "0")
    factory = rtsp.RTSPMediaFactory()
    factory.set_launch(_PIPELINE)
    server.get_mount_points().add_factory("/line", factory)
    server.attach(None)
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/line", flush=True)
    glib.MainLoop().run()


if __name__ == "__main__":
    main()
