"""An extension of nobody's classes: it has the methods, and that is all it needs."""

import dataclasses

NAME = "x-mark"


def changed(frame, data):
    if hasattr(frame, "_replace"):  # a named tuple, in former editions
        return frame._replace(data=data)
    return dataclasses.replace(frame, data=data)


class Mark:
    """Ends each frame that leaves with a mark, and takes it off what comes."""

    name = NAME

    def encode(self, frame):
        return changed(frame, bytes(frame.data) + b"!")

    def decode(self, frame, *, max_size=None):
        data = bytes(frame.data)
        return changed(frame, data[:-1] if data.endswith(b"!") else data)


class ClientFactory:
    name = NAME

    def get_request_params(self):
        return []

    def process_response_params(self, params, accepted):
        return Mark()


class ServerFactory:
    name = NAME

    def process_request_params(self, params, accepted):
        return [], Mark()
