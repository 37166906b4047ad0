"""Numbers in sentences."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun, such as "1 image" or "2,000 images"; the plural ends in s by default."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
