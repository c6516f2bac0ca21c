"""The commands of ``receipts``, by what they are about: arguments in, one function called, its result shown."""
