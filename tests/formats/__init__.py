"""Other tools' OCR results; the files in ``data`` were made with Tesseract 5.5.4 from a drawn receipt."""
