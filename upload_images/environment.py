"""The variables of ``process_ocr_results``; ``component.py`` fills this very model."""

from pipeline.environment import Environment


class ProcessOcrResultsEnvironment(Environment):
    """What stage 1 must know.

    Attributes:
        large_receipt_queue_url: of large receipts, where they have a queue of their own.
        large_receipt_rows: a receipt of more lines and words than this is large.
        ocr_results_dead_letter_queue_url: where a bad document is sent with its reason.
        embedding_model: part of the run id that the embed message carries.
    """

    artifacts_bucket: str
    embed_queue_url: str
    ocr_results_dead_letter_queue_url: str
    embedding_model: str
    embedding_dimensions: int
    large_receipt_queue_url: str | None = None
    large_receipt_rows: int | None = None
