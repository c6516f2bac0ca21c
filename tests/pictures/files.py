"""Pictures that tests need, good and bad, made when they are needed: nothing of this is committed as a file."""

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw

from ops.rendering import render

TEXTS = (
    "HOLLOW OAK HARDWARE",
    "88 Millrace Lane",
    "22 Jan 2026 10:17 Till 1",
    "Wood screws box  6.49",
    "Masking tape wide  2.75",
    "Sanding block fine  3.20",
    "TOTAL  12.44",
    "Returns within 30 days with receipt",
)
OTHER_TEXTS = (
    "GREENLEAF MARKET",
    "412 Harbor View Road",
    "03/14/2026 17:42 REG 04",
    "SOURDOUGH LOAF  5.95",
    "LARGE EGGS CARTON  3.79",
    "ORGANIC BANANAS  1.83",
    "TOTAL  11.57",
    "THANK YOU FOR SHOPPING LOCAL",
)


THIRD_TEXTS = (
    "HARBOR BAKERY",
    "19 Quay Road",
    "23 Jan 2026 08:02",
    "Rye bread  4.10",
    "Apple tart  3.80",
    "TOTAL  7.90",
)


def receipt() -> Image.Image:
    """A picture that is read without a fault."""
    return render(TEXTS)


def turned(picture: Image.Image, degrees: float) -> Image.Image:
    """The picture turned clockwise, on white paper."""
    return picture.rotate(-degrees, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC)


def on_a_table(*, table: int, darker: float, degrees: float) -> Image.Image:
    """A receipt photographed on a table.

    Args:
        table: how bright the table is, 0 to 255.
        darker: how much of the light reaches the right edge.
        degrees: by which the receipt lies turned clockwise.
    """
    lying = receipt().rotate(-degrees, expand=True, fillcolor=table, resample=Image.Resampling.BICUBIC)
    photo = Image.new("L", (lying.width + 600, lying.height + 500), table)
    photo.paste(lying, (250, 200))
    light = np.linspace(1, darker, photo.width)[np.newaxis, :]
    return Image.fromarray((np.asarray(photo) * light).astype(np.uint8))


def side_by_side(*several: Sequence[str], degrees: float = 0.0) -> Image.Image:
    """Receipts on one picture.

    Args:
        several: the texts of each; two without any.
        degrees: by which the last one lies tilted clockwise.
    """
    pictures = [render(texts) for texts in several or (TEXTS, OTHER_TEXTS)]
    pictures[-1] = pictures[-1].rotate(-degrees, expand=True, fillcolor=250, resample=Image.Resampling.BICUBIC)
    together = Image.new("L", (sum(one.width for one in pictures), max(one.height for one in pictures)), 250)
    x = 0
    for one in pictures:
        together.paste(one, (x, 0))
        x += one.width
    return together


def of_dots() -> Image.Image:
    """A receipt whose letters are of dots, as a matrix printer prints them."""
    grey = np.asarray(receipt())
    rows, columns = np.indices(grey.shape)
    is_dot = (rows % 4 < 2) & (columns % 4 < 2)
    return Image.fromarray(np.where(is_dot, grey, 250).astype(np.uint8))


def noise() -> Image.Image:
    """Something that is no text: the same soft spots of grey in every run."""
    spots = np.random.default_rng(0).integers(0, 255, (24, 18)).astype(np.uint8)
    return Image.fromarray(spots).resize((900, 1_200), Image.Resampling.BICUBIC)


def scribble() -> Image.Image:
    """Lines that cross, in which the engine sees letters here and there."""
    random = np.random.default_rng(1)
    picture = Image.new("L", (900, 1_200), 230)
    draw = ImageDraw.Draw(picture)
    for _ in range(200):
        ends = [(int(random.integers(0, 900)), int(random.integers(0, 1_200))) for _ in range(2)]
        draw.line(ends, fill=int(random.integers(0, 120)), width=int(random.integers(1, 8)))
    return picture


def blank() -> Image.Image:
    """Paper."""
    return Image.new("L", (800, 1_000), 250)


def huge_png(width: int, height: int, *, in_colour: bool = False) -> bytes:
    """A small PNG that unpacks to ``width`` x ``height`` black pixels, made without unpacking it here."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    # A row is a filter byte and its pixels, of one bit or of three bytes, all 0.
    compressor, row = zlib.compressobj(1), bytes(1 + (3 * width if in_colour else (width + 7) // 8))
    rows = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, 8 if in_colour else 1, 2 if in_colour else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def pages(kind: str, *pictures: Image.Image) -> bytes:
    """A TIFF or PDF of several pages."""
    file = BytesIO()
    first, *others = pictures
    first.save(file, format=kind, save_all=True, append_images=others, resolution=200)
    return file.getvalue()


def encrypted_pdf() -> bytes:
    """A PDF of one empty page that asks for a password: encryption by the standard handler, with keys that fit none."""
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
        b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <" + b"41" * 32 + b"> /U <" + b"42" * 32 + b"> >>",
    ]
    content, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = len(content)
    content += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    key = b"43" * 16
    content += b"trailer\n<< /Size 5 /Root 1 0 R /Encrypt 4 0 R /ID [<%s> <%s>] >>\n" % (key, key)
    return content + b"startxref\n%d\n%%%%EOF\n" % table


def photo(picture: Image.Image, *, orientation: int) -> bytes:
    """A JPEG with an EXIF orientation, as a phone writes it."""
    file = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(file, format="JPEG", exif=exif)
    return file.getvalue()
