#!/usr/bin/python3
# SPDX-License-Identifier: MIT
#
# Makes up what a server sends to a busy client, the same bytes on every machine:
#   gen_mix.py MIX CHAT COUNT
# MIX gets 20,000 stanzas: 70 % chat messages, 15 % presence, 13.5 % publish-subscribe events and
# 1.5 % chat messages with bodies over 4 KiB. 4 % of the words carry an entity or a numeric reference,
# 8 % are not ASCII. CHAT gets COUNT times one typical chat message. Both are whole streams, laid out
# as Prosody and ejabberd do. What came out is printed, one figure a line.
import sys

SHARES = [("chat", 14000), ("presence", 3000), ("pubsub", 2700), ("large", 300)]
LARGE_BODY = 4096

HEADER = ("<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' "
          "id='7376325b-a3c4-48e5-9ed5-87896bb59cf2' xmlns='jabber:client' xml:lang='en' "
          "from='example.org' version='1.0'>")
FOOTER = "</stream:stream>"
SELF = "sensor@example.org/xt~Uk5h3wclxrRq"

PLAIN = ("the a to of and in is it on at for that we you I not now then when door pump level fan water "
         "heat room open close high low value sensor battery signal normal again tomorrow meeting "
         "garden kitchen cellar reading pressure please check report about because temperature "
         "humidity threshold maintenance firmware configuration").split()
BEYOND = ("Tür Wärme öffnen größer naïve café déjà señor mañana façade température здравствуй насос "
          "давление комната θερμοκρασία νερό 温度 湿度 ポンプ センサー 온도 水位正常 👍 🔥 23°C ½ – “yes”").split()
MARKED = ["R&amp;D", "a&lt;b", "x&gt;y", "it&apos;s", "&quot;ok&quot;", "3&#x20AC;", "caf&#233;",
          "21&#176;C", "&#x1F321;", "tom&#39;s", "&amp;&amp;"]
PEOPLE = ["anna", "boris", "chloé", "dmitri", "eve.miller", "facility-desk", "greta", "hiro"]
CLIENTS = ["Conversations.a8Kd", "gajim.7QX1T2ZP", "Dino.1f4c2a", "phone", "profanity.Zk3A", "desk"]
LANGS = ["", "", "", " xml:lang='en'", " xml:lang='de'"]


class Numbers:
    """A linear congruential generator: Python's own may change between versions."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2 ** 64
        return (self.state >> 33) * limit >> 31

    def pick(self, items):
        return items[self.below(len(items))]

    def hex(self, digits):
        return "".join("%x" % self.below(16) for _ in range(digits))


class Mix:
    def __init__(self):
        self.random = Numbers(20)
        self.words = self.marked = self.beyond = 0

    def word(self):
        self.words += 1
        roll = self.random.below(100)
        if roll < 4:
            self.marked += 1
            return self.random.pick(MARKED)
        if roll < 12:
            self.beyond += 1
            return self.random.pick(BEYOND)
        return self.random.pick(PLAIN)

    def text(self, size):
        """Words of at least size bytes together."""
        words, length = [], -1
        while length < size:
            words.append(self.word())
            length += 1 + len(words[-1].encode())
        return " ".join(words)

    def uuid(self):
        return "-".join(self.random.hex(n) for n in (8, 4, 4, 4, 12))

    def person(self):
        return "%s@example.org" % self.random.pick(PEOPLE)

    def chat(self, size):
        state = self.random.pick(["", "", "<active xmlns='http://jabber.org/protocol/chatstates'/>",
                                  "<request xmlns='urn:xmpp:receipts'/>"])
        return "<message to='%s' from='%s/%s' id='%s' type='chat'%s><body>%s</body>%s</message>" % (
            SELF, self.person(), self.random.pick(CLIENTS), self.random.hex(8), self.random.pick(LANGS),
            self.text(size), state)

    def presence(self):
        if self.random.below(10) < 7:
            state = ""
        else:
            state = "<show>%s</show><status>%s</status>" % (
                self.random.pick(["away", "xa", "dnd", "chat"]), self.text(self.random.below(22)))
        return ("<presence%s to='%s' from='%s/%s'>%s<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' "
                "node='http://%s' ver='%s='/></presence>") % (
            self.random.pick(LANGS), SELF, self.person(), self.random.pick(CLIENTS), state,
            self.random.pick(["gajim.org", "conversations.im", "dino.im"]), self.random.hex(27))

    def pubsub(self):
        return ("<message from='pubsub.example.org' to='%s' type='headline' id='%s'>"
                "<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:example:readings'>"
                "<item id='%s'><reading xmlns='urn:example:reading:1' unit='%s'><value>%d.%d</value>"
                "<note>%s</note></reading></item></items></event></message>") % (
            SELF, self.random.hex(12), self.random.hex(16), self.random.pick(["°C", "hPa", "%", "l/min"]),
            self.random.below(100), self.random.below(10), self.text(self.random.below(9)))

    def stanza(self, kind):
        if kind == "chat":
            return self.chat(26 + self.random.below(62))
        if kind == "large":
            return self.chat(LARGE_BODY + self.random.below(720))
        return self.presence() if kind == "presence" else self.pubsub()

    def stanzas(self):
        """All of them as (kind, text), shuffled."""
        kinds = [kind for kind, count in SHARES for _ in range(count)]
        for at in range(len(kinds) - 1, 0, -1):
            other = self.random.below(at + 1)
            kinds[at], kinds[other] = kinds[other], kinds[at]
        return [(kind, self.stanza(kind)) for kind in kinds]


def write(path, stanzas):
    data = (HEADER + "".join(stanzas) + FOOTER).encode()
    with open(path, "wb") as file:
        file.write(data)
    return len(data)


def main():
    mix = Mix()
    stanzas = mix.stanzas()
    print("bytes %d" % write(sys.argv[1], [text for _, text in stanzas]))
    print("stanzas %d" % len(stanzas))
    for kind, _ in SHARES:
        sizes = [len(text.encode()) for k, text in stanzas if k == kind]
        print("%s %d %d" % (kind, len(sizes), sum(sizes) // len(sizes)))
    print("words %d %d %d" % (mix.words, mix.marked, mix.beyond))
    typical = ("<message to='%s' from='anna@example.org/gajim.7QX1T2ZP' id='5d2c07aa' type='chat'><body>"
               "Pump 2 is at 21&#176;C &amp; the cellar door is still open, please check.</body></message>"
               % SELF)
    write(sys.argv[2], [typical] * int(sys.argv[3]))
    print("typical %d" % len(typical.encode()))


if __name__ == "__main__":
    main()
