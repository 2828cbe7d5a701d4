"""Interactive work on one image: ask, look, keep, correct, take back. No window is needed."""

from promptile.session.places import place_of
from promptile.session.replaying import Replay, replay
from promptile.session.reviewing import Review
from promptile.session.setting import Setting
from promptile.session.strokes import Stroke
from promptile.session.work import Session
from promptile.session.worker import Ticket, Worker

__all__ = ["Replay", "Review", "Session", "Setting", "Stroke", "Ticket", "Worker", "place_of", "replay"]
