"""Deepgram's live transcription against a fake of its service."""

import asyncio
import json

from deepgram import AsyncDeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from fakes import run, serving, until


def transcript(text):
    alternative = {"transcript": text, "confidence": 0.9, "words": []}
    return json.dumps(
        {
            "type": "Results",
            "channel_index": [0, 1],
            "duration": 1.0,
            "start": 0.0,
            "is_final": True,
            "speech_final": True,
            "channel": {"alternatives": [alternative]},
            "metadata": {
                "request_id": "r",
                "model_uuid": "m",
                "model_info": {"name": "n", "version": "v", "arch": "a"},
            },
        }
    )


def test_sound_is_answered_with_text():
    heard, headers = [], []

    async def service(websocket):
        headers.append(websocket.request.headers["Authorization"])
        async for message in websocket:
            if isinstance(message, bytes):
                await websocket.send(transcript(f"{len(message)} bytes"))
            elif json.loads(message)["type"] == "CloseStream":
                return

    async def main():
        async with serving(service) as address:
            environment = DeepgramClientEnvironment(
                base=address.replace("ws", "http"),
                production=address,
                agent=address,
                agent_rest=address,
            )
            client = AsyncDeepgramClient(api_key="key", environment=environment)
            async with client.listen.v1.connect(model="nova-3") as connection:
                connection.on(EventType.MESSAGE, heard.append)
                listening = asyncio.ensure_future(connection.start_listening())
                await connection.send_media(b"sound" * 1000)
                await until(lambda: heard, "an answer")
                await connection.send_close_stream()
                await listening
            text = heard[0].channel.alternatives[0].transcript
            assert text == "5000 bytes"
            assert headers == ["Token key"]

    run(main())
