"""Numbers in sentences, and how these begin."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun, such as "1 image" or "2,000 images"; the plural ends in s by default."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def capitalized(text: str) -> str:
    """Return a text whose first letter is a capital; the others stay as they are."""
    return f"{text[0].upper()}{text[1:]}"
