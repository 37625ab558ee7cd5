"""What the library raises when a person gave it something it cannot work with."""


class InputError(ValueError):
    """Bad input: the message says what came, what is needed and what to do. Nothing was written."""


class NonFiniteError(ArithmeticError):
    """NaN or infinity appeared while sampling; the message names the step and the loss."""
