"""A server and a client on trio, in one program."""

import trio

from longwire.rpc.trio import Client, Server


async def slowly(seconds: float) -> str:
    await trio.sleep(seconds)
    return "done"


async def main() -> None:
    server = Server({"slowly": slowly})
    async with trio.open_nursery() as nursery:
        listening = await nursery.start(server.serve, 0)
        port = listening.listeners[0].socket.getsockname()[1]
        async with Client(f"ws://localhost:{port}/") as client:
            print(await client.call("slowly", 0.01))
            with trio.move_on_after(0.05) as scope:
                await client.call("slowly", 60)
            print("cancelled" if scope.cancelled_caught else "not cancelled")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
