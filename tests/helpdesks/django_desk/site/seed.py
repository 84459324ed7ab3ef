"""Whoever works at this desk, and its one queue. Prints each account's number and token as JSON."""

import json

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from helpdesk.models import CustomField, Queue, Ticket  # noqa: E402
from rest_framework.authtoken.models import Token  # noqa: E402

PEOPLE = {"elevate-bot": True, "technician": True, "technician2": True, "requester": False}


def account(login, staff):
    address = f"{login}@practice.example"
    user = get_user_model().objects.create_user(login, address, f"{login}-at-the-desk", is_staff=staff)
    return {"id": str(user.pk), "token": Token.objects.create(user=user).key if staff else None}


queue = Queue.objects.create(title="First line", slug="first", allow_public_submission=True)
CustomField.objects.create(
    name="category", label="Category", data_type="varchar", max_length=80, required=False, staff_only=False
)
Ticket.objects.create(
    queue=queue, title="For doctor", submitter_email="elevate-bot@practice.example", status=Ticket.CLOSED_STATUS
)
print(json.dumps({login: account(login, staff) for login, staff in PEOPLE.items()}))  # noqa: T201
