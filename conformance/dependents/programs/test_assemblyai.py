"""AssemblyAI's live transcription, from threads and asyncio, against a fake of it."""

import asyncio
import json

from assemblyai.streaming.v3 import (
    AsyncRealTimeTranscriber,
    RealTimeEvents,
    RealTimeParameters,
    RealTimeTranscriber,
    RealTimeTranscriberOptions,
)
from fakes import run, serving, until

PARAMETERS = RealTimeParameters(sample_rate=16000)


async def service(websocket):
    assert websocket.request.headers["Authorization"] == "key"
    begin = {"type": "Begin", "id": "s", "expires_at": "2030-01-01T00:00:00Z"}
    await websocket.send(json.dumps(begin))
    async for message in websocket:
        if isinstance(message, bytes):
            turn = {
                "type": "Turn",
                "turn_order": 0,
                "turn_is_formatted": True,
                "end_of_turn": True,
                "transcript": f"{len(message)} bytes",
                "end_of_turn_confidence": 0.9,
                "words": [],
            }
            await websocket.send(json.dumps(turn))
        elif json.loads(message)["type"] == "Terminate":
            ended = {"type": "Termination", "audio_duration_seconds": 1}
            await websocket.send(json.dumps(ended))


async def refusing(websocket):
    raise AssertionError("a refused client gets no handler")


def options(address):
    return RealTimeTranscriberOptions(
        api_host=address, api_key="key", connect_timeout=20
    )


def watch(transcriber):
    """Return the lists of texts, endings and errors that a transcriber fills."""
    texts, endings, errors = [], [], []
    transcriber.on(RealTimeEvents.Turn, lambda _, event: texts.append(event.transcript))
    transcriber.on(RealTimeEvents.Termination, lambda _, event: endings.append(event))
    transcriber.on(RealTimeEvents.Error, lambda _, error: errors.append(error.code))
    return texts, endings, errors


def test_threads_send_sound_and_get_text_until_they_terminate():
    async def main():
        async with serving(service) as address:
            transcriber = RealTimeTranscriber(options(address))
            texts, endings, errors = watch(transcriber)
            await asyncio.to_thread(transcriber.connect, PARAMETERS)
            transcriber.stream([b"a" * 1000, b"b" * 2000])
            await until(lambda: len(texts) == 2, "text")
            await asyncio.to_thread(transcriber.disconnect, terminate=True)
            assert texts == ["1000 bytes", "2000 bytes"]
            assert len(endings) == 1
            assert errors == []

    run(main())


def test_asyncio_sends_sound_and_gets_text_until_it_terminates():
    async def main():
        async with serving(service) as address:
            transcriber = AsyncRealTimeTranscriber(options(address))
            texts, endings, errors = watch(transcriber)
            await transcriber.connect(PARAMETERS)
            await transcriber.stream(b"a" * 1000)
            await until(lambda: texts, "text")
            await transcriber.disconnect(terminate=True)
            assert texts == ["1000 bytes"]
            assert len(endings) == 1
            assert errors == []

    run(main())


def test_threads_are_told_the_status_of_a_refusal():
    async def refuse(connection, request):
        return connection.respond(401, "no such key")

    async def main():
        async with serving(refusing, process_request=refuse) as address:
            transcriber = RealTimeTranscriber(options(address))
            texts, _, errors = watch(transcriber)
            await asyncio.to_thread(transcriber.connect, PARAMETERS)
            assert errors == [401]
            assert texts == []

    run(main())
