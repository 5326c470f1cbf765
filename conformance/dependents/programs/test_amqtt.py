"""MQTT over WebSocket: the broker and the client of ``amqtt``."""

from amqtt.broker import Broker
from amqtt.client import MQTTClient
from amqtt.mqtt.constants import QOS_0, QOS_1, QOS_2
from fakes import free_port, run


def test_messages_pass_at_each_quality_of_service():
    async def main():
        port = free_port()
        broker = Broker(
            {
                "listeners": {"default": {"type": "ws", "bind": f"127.0.0.1:{port}"}},
                "plugins": {
                    "amqtt.plugins.authentication.AnonymousAuthPlugin": {
                        "allow_anonymous": True
                    }
                },
            }
        )
        await broker.start()
        reader, writer = MQTTClient(), MQTTClient()
        await reader.connect(f"ws://127.0.0.1:{port}/")
        await reader.subscribe([("topic/#", QOS_2)])
        await writer.connect(f"ws://127.0.0.1:{port}/")
        for qos in (QOS_0, QOS_1, QOS_2):
            payload = b"payload of %d" % qos + b"x" * 70_000
            await writer.publish(f"topic/{qos}", payload, qos=qos)
            message = await reader.deliver_message(timeout_duration=10)
            assert message.topic == f"topic/{qos}"
            assert bytes(message.data) == payload
        await writer.disconnect()
        await reader.disconnect()
        await broker.shutdown()

    run(main())
