"""Cartesia's text to speech, from threads and asyncio, against a fake of it."""

import asyncio
import base64
import json

from cartesia import AsyncCartesia, Cartesia
from fakes import messages, run, serving

VOICE = {"mode": "id", "id": "v"}
FORMAT = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 8000}


async def service(websocket):
    assert websocket.request.path.startswith("/tts/websocket")
    async for asked in messages(websocket):
        context = {"context_id": asked["context_id"], "status_code": 200}
        if asked["transcript"]:
            sound = base64.b64encode(asked["transcript"].encode()).decode()
            event = {"type": "chunk", "data": sound, "done": False, "step_time": 1.0}
            await websocket.send(json.dumps(event | context))
        if not asked["continue"]:
            await websocket.send(json.dumps({"type": "done", "done": True} | context))


def test_threads_hear_what_they_said():
    def client(address):
        cartesia = Cartesia(api_key="key", websocket_base_url=address)
        with cartesia.tts.websocket_connect() as connection:
            context = connection.context(
                model_id="sonic", voice=VOICE, output_format=FORMAT
            )
            context.push("good ")
            context.push("morning")
            context.no_more_inputs()
            return [event.type for event in context.receive()]

    async def main():
        async with serving(service) as address:
            heard = await asyncio.to_thread(client, address)
            assert heard == ["chunk", "chunk", "done"]

    run(main())


def test_asyncio_hears_what_it_said():
    async def main():
        async with serving(service) as address:
            cartesia = AsyncCartesia(api_key="key", websocket_base_url=address)
            async with cartesia.tts.websocket_connect() as connection:
                context = connection.context(
                    model_id="sonic", voice=VOICE, output_format=FORMAT
                )
                await context.push("good ")
                await context.push("morning")
                await context.no_more_inputs()
                heard = [event.type async for event in context.receive()]
            assert heard == ["chunk", "chunk", "done"]

    run(main())
