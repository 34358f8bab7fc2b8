"""A model server that speaks HTTP/2 over TLS, by the package h2 and plain sockets."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from contextlib import suppress

import h2.config
import h2.connection
import h2.events

from tests.servers import Model, Seen, v2


class Http2Server:
    """Open Inference over HTTP/2; ``log`` holds every request."""

    def __init__(self, model: Model, tls: ssl.SSLContext) -> None:
        tls.set_alpn_protocols(["h2"])
        self.model, self.tls, self.log = model, tls, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Http2Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), self.tls.wrap_socket(connection, server_side=True) as wire:
            assert wire.selected_alpn_protocol() == "h2"
            talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
            talk.initiate_connection()
            wire.sendall(talk.data_to_send())
            asked: dict[int, tuple[dict[str, str], bytearray]] = {}
            while data := wire.recv(65536):
                for event in talk.receive_data(data):
                    self._take(talk, event, asked)
                wire.sendall(talk.data_to_send())

    def _take(self, talk: h2.connection.H2Connection, event: h2.events.Event, asked: dict) -> None:
        if isinstance(event, h2.events.RequestReceived):
            asked[event.stream_id] = (dict(event.headers), bytearray())
        elif isinstance(event, h2.events.DataReceived):
            asked[event.stream_id][1].extend(event.data)
            talk.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            headers, body = asked.pop(event.stream_id)
            self.log.append(Seen(headers[":path"], headers, bytes(body)))
            answer = json.dumps(v2(self.model, json.loads(body))).encode()
            talk.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/json")])
            talk.send_data(event.stream_id, answer, end_stream=True)
