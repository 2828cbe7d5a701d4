"""Interactive work on one image: ask, look, keep, correct, take back. No window is needed."""

from promptile.session.images import is_of
from promptile.session.places import place_of, put_away
from promptile.session.replaying import Replay, replay
from promptile.session.requests import Asked, Named, Request, asked_before, waiting
from promptile.session.reviewing import Review
from promptile.session.setting import Setting
from promptile.session.strokes import Stroke
from promptile.session.thumbnails import Thumbnail, thumbnails
from promptile.session.work import Session
from promptile.session.worker import Ticket, Worker

__all__ = [
    "Asked",
    "Named",
    "Replay",
    "Request",
    "Review",
    "Session",
    "Setting",
    "Stroke",
    "Thumbnail",
    "Ticket",
    "Worker",
    "asked_before",
    "is_of",
    "place_of",
    "put_away",
    "replay",
    "thumbnails",
    "waiting",
]
