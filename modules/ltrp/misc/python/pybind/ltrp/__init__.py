# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.
"""Learning to rank patches: which parts of an image matter.

The same API as cv2.ltrp in builds of OpenCV that contain the module:

    import cv2, ltrp

    photo = cv2.imread("photo.jpg")                  # any array of rows x columns x 1, 3 (BGR) or 4 channels
    ranker = ltrp.Ranker.create()                    # the ranker that comes with the package
    ranking = ranker.rank(photo)
    params = ltrp.SelectParams()
    params.keepRatio = 0.25
    keep = ltrp.selectPatches(ranking, params)       # patch numbers, raster order
    picture = ltrp.drawOverlay(photo, ranking, keep)

Arrays go in and out without being copied; other threads run while the library computes; what it refuses is raised as
ltrp.error.
"""

from . import _ltrp
from ._ltrp import *  # noqa: F403
from ._ltrp import __version__

__all__ = ["__version__", *(name for name in vars(_ltrp) if not name.startswith("_"))]
