"""Who is told, on the loopback: a mail server of a few lines. Webhooks go to a real HTTP server of tests.servers."""

from __future__ import annotations

import socketserver
import threading


class MailServer:
    """Takes mail over SMTP without TLS; use it as a context manager. ``refuses`` says no to every message."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.mails: list[str] = []
        self.refuses = refuses
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> MailServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(server: MailServer) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

        def handle(self) -> None:
            self.say("220 here")
            while line := self.rfile.readline().decode().strip():
                word = line.split()[0].upper()
                if word == "DATA":
                    self.take()
                elif word == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("550 no" if word == "MAIL" and server.refuses else "250 ok")

        def take(self) -> None:
            self.say("354 go on")
            lines = []
            while (line := self.rfile.readline().decode()).strip() != ".":
                lines.append(line)
            server.mails.append("".join(lines))
            self.say("250 taken")

    return Handler
