"""A charging station and its central system, both of ``ocpp``, over websockets."""

import asyncio

import pytest
import websockets
from fakes import run
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action, RegistrationStatus


class Central(ChargePoint):
    @on(Action.boot_notification)
    def booted(self, charge_point_model, charge_point_vendor, **fields):
        return call_result.BootNotification(
            current_time="2026-01-01T00:00:00Z",
            interval=10,
            status=RegistrationStatus.accepted,
        )

    @on(Action.heartbeat)
    def beat(self):
        return call_result.Heartbeat(current_time="2026-01-01T00:00:00Z")


class Station(ChargePoint):
    @on(Action.clear_cache)
    def cleared(self):
        return call_result.ClearCache(status="Accepted")


def test_station_boots_beats_and_is_called():
    async def main():
        cleared = asyncio.get_running_loop().create_future()

        async def handler(websocket):
            assert websocket.subprotocol == "ocpp1.6"
            central = Central("station", websocket)

            async def ask():
                cleared.set_result(await central.call(call.ClearCache()))

            asking = asyncio.ensure_future(ask())
            try:
                await central.start()
            except websockets.exceptions.ConnectionClosed:
                pass
            await asking

        async with websockets.serve(
            handler, "127.0.0.1", 0, subprotocols=["ocpp1.6"]
        ) as server:
            port = server.sockets[0].getsockname()[1]
            async with websockets.connect(
                f"ws://127.0.0.1:{port}/station", subprotocols=["ocpp1.6"]
            ) as websocket:
                station = Station("station", websocket)
                reading = asyncio.ensure_future(station.start())
                answer = await station.call(
                    call.BootNotification(
                        charge_point_model="m", charge_point_vendor="v"
                    )
                )
                assert answer.status == RegistrationStatus.accepted
                for _ in range(5):
                    beat = await station.call(call.Heartbeat())
                    assert beat.current_time.startswith("2026")
                assert (await cleared).status == "Accepted"
            with pytest.raises(websockets.exceptions.ConnectionClosedOK) as closed:
                await reading
            assert closed.value.rcvd.code == 1000

    run(main())


def test_other_subprotocol_is_not_agreed():
    async def main():
        async def handler(websocket):
            await websocket.send(str(websocket.subprotocol))

        async with websockets.serve(
            handler, "127.0.0.1", 0, subprotocols=["ocpp1.6"]
        ) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
                await websockets.connect(
                    f"ws://127.0.0.1:{port}/", subprotocols=["ocpp2.0.1"]
                )
            assert refused.value.response.status_code == 400

    run(main())
