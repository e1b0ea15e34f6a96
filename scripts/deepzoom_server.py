"""Serves a slide's tiles as openslide-python's `deepzoom_server.py` makes them: for `scripts/bench view`.

`DeepZoomGenerator.get_tile` of 254 px with an overlap of 1, to sRGB by the ICC profile, JPEG of quality 75.
The example answers by Flask; here the standard library does, which takes less. Prints the port, the finest
level, its columns and its rows.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

from openslide import OpenSlide, OpenSlideCache
from openslide.deepzoom import DeepZoomGenerator
from PIL import ImageCms

CACHE_BYTES = 64 << 20


class DeepZoomServer(ThreadingHTTPServer):
    """A server of one slide, whose tiles are at /LEVEL/COLUMN/ROW."""

    def __init__(self, path: str) -> None:
        slide = OpenSlide(path)
        slide.set_cache(OpenSlideCache(CACHE_BYTES))
        self.zoom = DeepZoomGenerator(slide, 254, 1, limit_bounds=True)
        profile = slide.color_profile
        self.transform = (
            None
            if profile is None
            else ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "RGB", "RGB")
        )
        super().__init__(("127.0.0.1", 0), Handler)

    def tile(self, level: int, column: int, row: int) -> bytes:
        picture = self.zoom.get_tile(level, (column, row))
        if self.transform is not None:
            ImageCms.applyTransform(picture, self.transform, True)
        buffer = BytesIO()
        picture.save(buffer, "jpeg", quality=75)
        return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Answers with a tile."""

    server: DeepZoomServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        level, column, row = map(int, self.path.strip("/").split("/"))
        data = self.server.tile(level, column, row)
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""


def main() -> None:
    with DeepZoomServer(sys.argv[1]) as server:
        level = server.zoom.level_count - 1
        print(server.server_port, level, *server.zoom.level_tiles[level], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
