# SPDX-License-Identifier: MIT
"""peer.py JID PASSWORD ADDRESS PORT CA [--direct] [--echo]: a client built on slixmpp, which others wrote.

Prints what it sees, one JSON object a line, and obeys JSON objects on its input:
    {"do": "message", "to": JID, "body": TEXT}      chat message, optional type, subject, thread, id
    {"do": "presence", "to": JID, "type": TYPE}
    {"do": "ping" | "disco", "to": JID}             answered by event "pong" or "disco", with the error if any
    {"do": "request", "to": JID, "size": N}         an iq of a size beyond N bytes: event "request"
    {"do": "quit"}
With --echo it answers each chat message with "echo: " and the same text."""

import argparse
import asyncio
import json
import sys

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream import ET


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Peer(slixmpp.ClientXMPP):
    def __init__(self, options):
        super().__init__(options.jid, options.password)
        self.echo = options.echo
        self.tasks = set()
        self.ca_certs = options.ca
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("message", self.on_message)
        self.add_event_handler("disconnected", lambda _: self.loop.stop())
        self.add_event_handler("failed_auth", lambda _: tell("failed_auth"))
        self.add_event_handler("presence", self.on_presence)

    async def on_start(self, _):
        await self.get_roster()
        self.send_presence()
        tell("online", jid=self.boundjid.full)
        # Kept, because nobody else does: reader and tasks that only wait for each other are garbage.
        self.reader = asyncio.StreamReader(limit=1 << 20)
        await self.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self.reader), sys.stdin)
        while True:
            line = await self.reader.readline()
            command = json.loads(line) if line else {"do": "quit"}
            if command["do"] == "quit":
                self.disconnect()
                return
            task = asyncio.ensure_future(self.obey(command))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def on_message(self, stanza):
        tell("message", **{"from": stanza["from"].full, "type": stanza["type"], "id": stanza["id"],
                           "body": stanza["body"], "subject": stanza["subject"], "thread": stanza["thread"]})
        if self.echo and stanza["type"] == "chat":
            self.send_message(stanza["from"], "echo: " + stanza["body"], mtype="chat")

    def on_presence(self, stanza):
        show = stanza.xml.findtext("{jabber:client}show")
        tell("presence", **{"from": stanza["from"].full, "type": stanza.xml.get("type"), "show": show,
                            "status": stanza["status"], "priority": stanza["priority"]})

    async def obey(self, command):
        do, to = command.pop("do"), slixmpp.JID(command["to"])
        if do == "message":
            stanza = self.make_message(to, command["body"], command.get("subject"), command.get("type", "chat"))
            for field in ("id", "thread"):
                if field in command:
                    stanza[field] = command[field]
            stanza.send()
        elif do == "presence":
            self.send_presence(pto=to, ptype=command.get("type"))
        elif do == "ping":
            await self.ask("pong", self["xep_0199"].send_ping(to, timeout=20), to)
        elif do == "disco":
            await self.ask("disco", self["xep_0030"].get_info(to, timeout=20), to)
        elif do == "request":
            iq = self.make_iq_get(ito=to)
            query = ET.SubElement(iq.xml, "{urn:xmpp-tiny:e2e}query")
            query.text = "x" * command["size"]
            await self.ask("request", iq.send(timeout=20), to)

    async def ask(self, event, question, to):
        try:
            await question
            tell(event, **{"from": to.full, "error": None, "type": None})
        except IqError as error:
            tell(event, **{"from": to.full, "error": error.condition, "type": error.etype})
        except IqTimeout:
            tell(event, **{"from": to.full, "error": "timeout", "type": None})


def main():
    parser = argparse.ArgumentParser()
    for name in ("jid", "password", "address", "port", "ca"):
        parser.add_argument(name)
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("--echo", action="store_true")
    options = parser.parse_args()
    peer = Peer(options)
    peer.connect((options.address, int(options.port)), use_ssl=options.direct,
                 force_starttls=not options.direct, disable_starttls=options.direct)
    peer.loop.run_forever()


main()
