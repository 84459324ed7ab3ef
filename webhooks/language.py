"""The language of a page: the reader's own, as the browser says, of those that there are."""

from datetime import UTC, datetime

from babel import Locale
from flask import Flask, request
from flask_babel import Babel, format_timedelta, get_locale
from flask_babel import gettext as _
from markupsafe import Markup

from integration.deployment import Deployment
from integration.tickets import Status

LANGUAGES = ("en", "de")  # the first is what sentences are written in, and what everybody else reads


def install(app: Flask, deployment: Deployment) -> None:
    Babel(app, locale_selector=_chosen, default_translation_directories="translations")
    zone = deployment.settings.zone

    @app.context_processor
    def everywhere() -> dict[str, object]:
        locale = get_locale() or Locale.parse(LANGUAGES[0])
        return {"language": str(locale), "direction": locale.text_direction}

    @app.template_filter("when")
    def when(at: datetime | None) -> str:
        """In the desk's zone, which is named."""
        return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}" if at else ""

    @app.template_filter("moment")
    def moment(at: datetime | None) -> Markup | str:
        """As `when`; a script turns it into the reader's own zone."""
        return _time(at, "moment", when(at), ago(at)) if at else ""

    @app.template_filter("relative")
    def relative(at: datetime | None) -> Markup | str:
        """How long ago, or until when, with the moment itself on hover; a script keeps it true."""
        return _time(at, "relative", ago(at), when(at)) if at else ""

    @app.template_filter("day")
    def day(at: datetime | None) -> Markup | str:
        """The date alone, in the desk's zone, with the moment itself on hover."""
        return _time(at, "day", f"{at.astimezone(zone):%Y-%m-%d}", when(at)) if at else ""

    @app.template_filter("status")
    def status(of: Status) -> str:
        """A ticket's, in the reader's language."""
        words = {Status.OPEN: _("open"), Status.ON_HOLD: _("on hold"), Status.SOLVED: _("solved")}
        return str(words[of])

    @app.template_filter("same_day")
    def same_day(at: datetime | None, as_: datetime, *, beside: bool = False) -> Markup | str:
        """The time alone where it is of the day of `as_`: the desk's, until a script judges by the reader's own days.

        Its zone is named, unless `as_` stands `beside` it and names the same.
        """
        if at is None:
            return ""
        here, there = (it.astimezone(zone) for it in (at, as_))
        named = not beside or here.tzname() != there.tzname()
        short = f"{here:%H:%M:%S %Z}" if named else f"{here:%H:%M:%S}"
        text = short if here.date() == there.date() else when(at)
        return _time(at, "clock" if beside else "time", text, when(at), of=as_)


def _chosen() -> str:
    return request.accept_languages.best_match(LANGUAGES, LANGUAGES[0])


def ago(at: datetime | None) -> str:
    """ "5 minutes ago", in the reader's language."""
    return str(format_timedelta(at - datetime.now(UTC), add_direction=True)) if at else ""


def _time(at: datetime, shown_as: str, text: str, hover: str, *, of: datetime | None = None) -> Markup:
    """`of`: the moment on whose day the time alone is enough."""
    relative_to = Markup(' data-of="{}"').format(_written(of)) if of else ""
    return Markup('<time datetime="{}" data-shown-as="{}"{} title="{}">{}</time>').format(
        _written(at), shown_as, relative_to, hover, text
    )


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")
