"""Words that are written here in English, and that pages show in their reader's language."""


def N_(message: str) -> str:  # noqa: N802  # the name by which gettext's tools find such words
    """`message` itself, marked for the catalogues in webhooks/translations/."""
    return message
