"""Lays a page out for the engine: cut to its ink, turned, straightened and scaled; and back: from there to the page.

Everything is one affine map, so that each of the engine's boxes is a box of the page as it was given. The figures
were chosen on the first half of the data set's scans: docs/facts.md, "Reading a picture".
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import Image, ImageOps

from upload_images.formats.recognized import Box

WIDTH = 850
"""Pixels across the ink, as the engine gets it. It reads no more of wider pages, and takes longer."""
LARGEST_ENLARGEMENT = 4.0
LONGEST_HEIGHT = 12_000
"""Pixels; a strip of paper that is longer is read smaller."""
PAPER = 255
MARGIN = 0.02
"""Of the ink's width, left white around it."""
LOOKED_AT = 600
"""Pixels of the longer side of the small copy in which ink and tilt are looked for."""
INK_SHARE = 0.004
"""Of a row's or column's pixels: less is dust."""
LARGEST_TILT, TILT_STEP = 8.0, 0.5
"""Degrees."""
ROUNDING = 1e-9
"""By so much a scale may miss a whole number."""


@dataclass(frozen=True, kw_only=True)
class Affine:
    """``x' = a*x + b*y + c``, ``y' = d*x + e*y + f``; from the laid out page to the page as it was given."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    @classmethod
    def around(cls, *, degrees: float, scale: float, source: tuple[float, float], target: tuple[float, float]) -> Self:
        """The map that turns by ``degrees`` clockwise, scales, and takes the point ``target`` to ``source``."""
        cosine, sine = math.cos(math.radians(degrees)) * scale, math.sin(math.radians(degrees)) * scale
        (to_x, to_y), (from_x, from_y) = source, target
        return cls(
            a=cosine,
            b=-sine,
            c=to_x - cosine * from_x + sine * from_y,
            d=sine,
            e=cosine,
            f=to_y - sine * from_x - cosine * from_y,
        )

    @classmethod
    def shift(cls, x: float) -> Self:
        """The map that moves by ``x`` to the right."""
        return cls(a=1, b=0, c=x, d=0, e=1, f=0)

    @property
    def scale(self) -> float:
        """How much longer a way becomes."""
        return math.hypot(self.a, self.d)

    def after(self, inner: "Affine") -> "Affine":
        """The map that does ``inner`` first and then this one."""
        return Affine(
            a=self.a * inner.a + self.b * inner.d,
            b=self.a * inner.b + self.b * inner.e,
            c=self.a * inner.c + self.b * inner.f + self.c,
            d=self.d * inner.a + self.e * inner.d,
            e=self.d * inner.b + self.e * inner.e,
            f=self.d * inner.c + self.e * inner.f + self.f,
        )

    def box(self, box: Box) -> Box:
        """The smallest upright box around where a box comes to lie."""
        corners = [
            (self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f)
            for x in (box.left, box.right)
            for y in (box.top, box.bottom)
        ]
        return Box(
            left=min(x for x, _ in corners),
            top=min(y for _, y in corners),
            right=max(x for x, _ in corners),
            bottom=max(y for _, y in corners),
        )


IDENTITY = Affine.shift(0)


@dataclass(frozen=True, kw_only=True)
class LaidOut:
    """A page as the engine gets it.

    Attributes:
        picture: mode L.
        to_page: from its pixels to the page's.
    """

    picture: Image.Image
    to_page: Affine


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the ink of a page is and how it is tilted; found once, whatever way the page is turned.

    Attributes:
        ink: a box in pixels of the page.
        tilt: degrees clockwise by which the lines fall; None where there is no ink at all.
    """

    ink: Box
    tilt: float | None


def find_layout(page: Image.Image) -> Layout:
    """Look for the ink and its tilt in a small copy."""
    shrink = max(1, math.ceil(max(page.size) / LOOKED_AT))
    small = ImageOps.autocontrast(page.reduce(shrink), cutoff=1)
    whole = Box(left=0, top=0, right=page.width, bottom=page.height)
    dark = np.asarray(small) < PAPER // 2
    columns, rows = np.flatnonzero(dark.mean(0) > INK_SHARE), np.flatnonzero(dark.mean(1) > INK_SHARE)
    if not columns.size or not rows.size:
        return Layout(ink=whole, tilt=None)
    margin = MARGIN * page.width
    ink = Box(
        left=max(0.0, float(columns[0]) * shrink - margin),
        top=max(0.0, float(rows[0]) * shrink - margin),
        right=min(float(page.width), float(columns[-1] + 1) * shrink + margin),
        bottom=min(float(page.height), float(rows[-1] + 1) * shrink + margin),
    )
    return Layout(ink=ink, tilt=_tilt(small))


def _tilt(small: Image.Image) -> float:
    """The angle at which the rows of pixels differ most from their neighbours: then lines and gaps alternate."""
    ink = ImageOps.invert(small)
    steps = round(LARGEST_TILT / TILT_STEP)
    sharpness = {}
    for step in range(-steps, steps + 1):
        profile = np.asarray(ink.rotate(step * TILT_STEP), dtype=np.float64).sum(axis=1)
        sharpness[step * TILT_STEP] = float(np.square(np.diff(profile)).sum())
    # PIL turns counter-clockwise: what must be turned so was tilted clockwise.
    return max(sharpness, key=lambda degrees: (sharpness[degrees], -abs(degrees)))


def lay_out(page: Image.Image, layout: Layout, *, quarter_turns: int = 0, within: Affine = IDENTITY) -> LaidOut:
    """Cut, turn, straighten and scale in one step.

    Args:
        page: mode L.
        layout: of the page.
        quarter_turns: how often the page lies turned clockwise by 90 degrees; it is turned back by as much.
        within: from the picture in which the layout was found to the page, where that is not the page itself.
    """
    ink = layout.ink
    width, height = ink.right - ink.left, ink.bottom - ink.top
    if quarter_turns % 2:
        width, height = height, width
    enlargement = min(WIDTH / width, LARGEST_ENLARGEMENT * within.scale, LONGEST_HEIGHT / height)
    size = (max(1, round(width * enlargement)), max(1, round(height * enlargement)))
    to_page = within.after(
        Affine.around(
            degrees=90 * quarter_turns + (layout.tilt or 0.0),
            scale=1 / enlargement,
            source=((ink.left + ink.right) / 2, (ink.top + ink.bottom) / 2),
            target=(size[0] / 2, size[1] / 2),
        )
    )
    # Pillow's affine map takes single pixels: a page that is to become smaller is averaged first.
    shrink = max(1, math.floor(to_page.scale + ROUNDING))
    source = page.reduce(shrink) if shrink > 1 else page
    data = tuple(value / shrink for value in (to_page.a, to_page.b, to_page.c, to_page.d, to_page.e, to_page.f))
    picture = source.transform(size, Image.Transform.AFFINE, data, resample=Image.Resampling.BICUBIC, fillcolor=PAPER)
    return LaidOut(picture=picture, to_page=to_page)
