"""Publishes what is changed in the admin to the Redis channel "events"."""

import json
from typing import Any

import redis
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.db.models.signals import post_save
from django.dispatch import receiver

EVENTS = redis.Redis.from_url(settings.REDIS_URL)


@receiver(post_save, sender=LogEntry)
def publish_event(instance: LogEntry, **kwargs: Any) -> None:
    event = {
        "model": instance.content_type.name,
        "object": instance.object_repr,
        "message": instance.get_change_message(),
        "timestamp": instance.action_time.isoformat(),
        "user": str(instance.user),
        "content_type_id": instance.content_type_id,
    }
    if not instance.is_deletion():
        event["object_id"] = instance.object_id
    EVENTS.publish("events", json.dumps(event))
