"""The error that an operator can mend. It imports nothing, so that everything people run may raise it."""


class OperatorError(Exception):
    """A mistake or a situation that the operator can mend: said in one line, without a traceback.

    Args:
        code: stable.
        message: the value and the rule.
        way_out: what to do.
    """

    def __init__(self, code: str, message: str, way_out: str) -> None:
        self.code = code
        self.message = message
        self.way_out = way_out
        super().__init__(f"{code}: {message}. Way out: {way_out}.")
