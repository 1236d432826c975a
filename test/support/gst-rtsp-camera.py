"""A camera by GStreamer's RTSP server, on the loopback interface.

Usage: gst-rtsp-camera.py digest|basic USERNAME
Each line on stdin is a password, which takes the place of the one before; the end of stdin is the end. Prints
"ready PORT" once the first is set, then "changed" for each further one.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

VIDEO = "video/x-raw,format=I420,width=64,height=48,framerate=5/1"
PIPELINE = f"( videotestsrc is-live=true ! {VIDEO} ! jpegenc ! rtpjpegpay name=pay0 )"


def main():
    scheme, username = sys.argv[1:]
    Gst.init(None)
    loop = GLib.MainLoop()
    auth = GstRtspServer.RTSPAuth()
    token = allowed_token()
    stdin = GLib.IOChannel.unix_new(sys.stdin.fileno())
    basics = []

    def set_password(password):
        if scheme == "digest":
            auth.remove_digest(username)
            auth.add_digest(username, password, token)
            return
        while basics:
            auth.remove_basic(basics.pop())
        basics.append(GstRtspServer.RTSPAuth.make_basic(username, password))
        auth.add_basic(basics[0], token)

    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST if scheme == "digest" else GstRtsp.RTSPAuthMethod.BASIC)
    set_password(next_line(stdin))
    server = start_server(auth)

    def on_stdin(_channel, _condition):
        line = next_line(stdin)
        if line is None:
            loop.quit()
            return False
        set_password(line)
        print("changed", flush=True)
        return True

    GLib.io_add_watch(stdin, 0, GLib.IOCondition.IN | GLib.IOCondition.HUP, on_stdin)
    print("ready", server.get_bound_port(), flush=True)
    loop.run()


def next_line(channel):
    status, line, _length, _terminator = channel.read_line()
    return line.rstrip("\n") if status == GLib.IOStatus.NORMAL else None


def allowed_token():
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    return token


def start_server(auth):
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    server.set_auth(auth)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE)
    factory.set_shared(True)
    factory.add_role_from_structure(role())
    server.get_mount_points().add_factory("/live", factory)
    if server.attach(None) == 0:
        sys.exit("gst-rtsp-camera: no port could be had")
    return server


def role():
    structure = Gst.Structure.new_empty("viewer")
    structure.set_value("media.factory.access", True)
    structure.set_value("media.factory.construct", True)
    return structure


main()
