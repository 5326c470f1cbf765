"""ElevenLabs' text to speech, which uses threads, against a fake of its service."""

import asyncio
import base64
import json

import pytest
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from fakes import messages, run, serving


async def service(websocket):
    assert websocket.request.path.startswith("/v1/text-to-speech/voice/stream-input")
    assert websocket.request.headers["xi-api-key"] == "key"
    async for asked in messages(websocket):
        if asked["text"] == "":
            return
        if asked["text"] != " ":
            sound = base64.b64encode(asked["text"].encode()).decode()
            await websocket.send(json.dumps({"audio": sound}))


def speak(address, *texts):
    client = ElevenLabs(api_key="key", base_url=address)
    client.text_to_speech._ws_base_url = address
    sound = client.text_to_speech.convert_realtime("voice", text=iter(texts))
    return b"".join(sound)


def test_text_is_answered_with_sound():
    async def main():
        async with serving(service) as address:
            sound = await asyncio.to_thread(speak, address, "Good morning. ", "Bye.")
            assert sound == b"Good morning. Bye. "

    run(main())


def test_error_of_the_service_is_raised_with_its_close_code():
    async def refuse(websocket):
        await websocket.recv()
        await websocket.close(1008, "no credit")

    async def main():
        async with serving(refuse) as address:
            with pytest.raises(ApiError) as failed:
                await asyncio.to_thread(speak, address, "Good morning. ", "Bye.")
            assert failed.value.status_code == 1008

    run(main())
