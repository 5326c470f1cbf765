"""Hume's text to speech, from threads and asyncio, against a fake of its service."""

import asyncio
import json

import pytest
import websockets
from fakes import messages, run, serving
from hume import AsyncHumeClient, HumeClient
from hume.environment import HumeClientEnvironment
from hume.tts.types import PublishTts


async def service(websocket):
    assert websocket.request.path.startswith("/stream/input")
    async for asked in messages(websocket):
        if asked.get("close"):
            return
        chunk = {
            "audio": asked["text"],
            "audio_format": "pcm",
            "chunk_index": 0,
            "generation_id": "g",
            "is_last_chunk": True,
            "request_id": "r",
            "snippet_id": "s",
            "text": asked["text"],
            "type": "audio",
        }
        await websocket.send(json.dumps(chunk))


def environment(address):
    http = address.replace("ws", "http")
    return HumeClientEnvironment(base=http, evi=address, tts=address, stream=address)


def speak(address):
    client = HumeClient(api_key="key", environment=environment(address))
    with client.tts.stream_input.connect(api_key="key") as connection:
        connection.send_publish(PublishTts(text="good"))
        first = connection.recv()
        connection.send_publish(PublishTts(text="morning"))
        connection.send_publish(PublishTts(close=True))
        return [first.audio, *(chunk.audio for chunk in connection)]


def test_threads_hear_what_they_said():
    async def main():
        async with serving(service) as address:
            assert await asyncio.to_thread(speak, address) == ["good", "morning"]

    run(main())


def test_asyncio_hears_what_it_said():
    async def main():
        async with serving(service) as address:
            client = AsyncHumeClient(api_key="key", environment=environment(address))
            async with client.tts.stream_input.connect(api_key="key") as connection:
                await connection.send_publish(PublishTts(text="good"))
                await connection.send_publish(PublishTts(close=True))
                assert [chunk.audio async for chunk in connection] == ["good"]

    run(main())


def test_threads_are_told_the_status_of_a_refusal():
    # The client looks for the exception of the legacy API, so that of threads passes.
    async def refuse(connection, request):
        return connection.respond(401, "no such key")

    async def main():
        async with serving(service, process_request=refuse) as address:
            with pytest.raises(websockets.exceptions.InvalidStatus) as failed:
                await asyncio.to_thread(speak, address)
            assert failed.value.response.status_code == 401

    run(main())
