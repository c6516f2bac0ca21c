"""The variables of ``read_pictures``; ``component.py`` fills this very model."""

from pipeline.environment import Environment


class ReadPicturesEnvironment(Environment):
    """What stage 0 must know.

    Attributes:
        pictures_dead_letter_queue_url: where a picture's notification is sent with its reason.
        maximum_receives: the queue's; the last delivery of a picture that cannot be read in time is dead-lettered.
    """

    artifacts_bucket: str
    pictures_dead_letter_queue_url: str
    maximum_receives: int
