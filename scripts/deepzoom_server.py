"""Serves a slide's tiles as openslide-python's `deepzoom_server.py` does: for `scripts/bench view`.

As that example: Flask and its own server; `DeepZoomGenerator.get_tile` of 254 px, overlap 1; to sRGB by the
ICC profile; JPEG of quality 75. `scripts/readers` installs what it needs in an environment of its own. Prints
the port, the finest level, its columns and its rows.
"""

import logging
import sys
from io import BytesIO

from flask import Flask, Response, make_response
from openslide import open_slide
from openslide.deepzoom import DeepZoomGenerator
from PIL import ImageCms
from werkzeug.serving import make_server


def application(zoom: DeepZoomGenerator, profile: ImageCms.ImageCmsProfile | None) -> Flask:
    """Return the application, whose tiles are at /LEVEL/COLUMN/ROW."""
    app = Flask(__name__)
    target = ImageCms.createProfile("sRGB")
    transform = None if profile is None else ImageCms.buildTransform(profile, target, "RGB", "RGB")

    @app.route("/<int:level>/<int:column>/<int:row>")
    def tile(level: int, column: int, row: int) -> Response:
        picture = zoom.get_tile(level, (column, row))
        if transform is not None:
            ImageCms.applyTransform(picture, transform, True)
        buffer = BytesIO()
        picture.save(buffer, "jpeg", quality=75)
        answer = make_response(buffer.getvalue())
        answer.mimetype = "image/jpeg"
        return answer

    return app


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    slide = open_slide(sys.argv[1])
    zoom = DeepZoomGenerator(slide, 254, 1, limit_bounds=True)
    server = make_server("127.0.0.1", 0, application(zoom, slide.color_profile), threaded=True)
    level = zoom.level_count - 1
    print(server.server_port, level, *zoom.level_tiles[level], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
