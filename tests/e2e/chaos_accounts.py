# SPDX-License-Identifier: MIT
"""Accounts of numbered messages that go one way. A message may need several attempts; each has an id of its own, and
all that is known of it must fit together in the end."""

import collections

from harness import Failure


class Attempt:
    def __init__(self, number):
        self.number, self.arrived, self.told, self.back, self.void = number, 0, [], 0, False


class Accounts:
    """prefix: of the ids. told: whether somebody tells what becomes of each attempt."""

    def __init__(self, prefix, count, told):
        self.prefix, self.count, self.told = prefix, count, told
        self.due = collections.deque(range(count))
        self.attempts, self.open = [], set()
        self.faults = []
        self.missing = set(range(count))
        self.last = -1
        self.disorder = 0

    # -- what happens --

    def send(self):
        """The next attempt; returns its id and its number."""
        self.attempts.append(Attempt(self.due.popleft()))
        self.open.add(len(self.attempts) - 1)
        return f"{self.prefix}{len(self.attempts) - 1}", self.attempts[-1].number

    def ready(self, most, open_most):
        """There is one to send, of the numbers below most, and not too many are on their way."""
        return self.due and self.due[0] < most and len(self.open) < open_most

    def find(self, identity):
        if not (identity or "").startswith(self.prefix) or not identity[1:].isdigit():
            return None, None
        at = int(identity[1:])
        return at, self.attempts[at] if at < len(self.attempts) else None

    def arrive(self, identity, body):
        at, attempt = self.find(identity)
        if attempt is None or int(body.split()[0]) != attempt.number:
            self.faults.append(f"{identity} is not what was sent")
            return
        attempt.arrived += 1
        self.disorder += at < self.last and attempt.arrived == 1
        self.last = max(at, self.last)
        self.missing.discard(attempt.number)
        if not self.told:
            self.open.discard(at)

    def tell(self, identity, delivered):
        at, attempt = self.find(identity)
        if attempt is None:
            self.faults.append(f"{identity} was never sent")
            return
        attempt.told.append(delivered)
        self.open.discard(at)
        if not delivered:
            self.again(attempt)

    def come_back(self, identity):
        """Bounced by the server."""
        at, attempt = self.find(identity)
        if attempt is None:
            self.faults.append(f"{identity} came back")
            return
        attempt.back += 1
        if not self.told:
            self.open.discard(at)
        self.again(attempt)

    def forget(self):
        """The server is gone with all it had taken over."""
        for at in self.open:
            self.attempts[at].void = True
            self.again(self.attempts[at])
        self.open.clear()

    def again(self, attempt):
        if attempt.number not in self.due:
            self.due.appendleft(attempt.number)
            self.missing.add(attempt.number)

    # -- the end --

    def settled(self):
        return not self.due and not self.open and not self.missing

    def balance(self, what, most, in_order=True):
        """Fails where the accounts do not balance. most: how often an attempt may arrive."""
        faults = list(self.faults)
        for at, attempt in enumerate(self.attempts):
            name = f"{self.prefix}{at}"
            if attempt.arrived > most:
                faults.append(f"{name} arrived {attempt.arrived} times")
            if self.told and len(attempt.told) != 1:
                faults.append(f"{name} was told {len(attempt.told)} times: {attempt.told}")
            sure = attempt.told == [True] if self.told else not attempt.void
            if sure and not attempt.back and not attempt.arrived:
                faults.append(f"{name} did not arrive")
        arrived = {attempt.number for attempt in self.attempts if attempt.arrived}
        if arrived != set(range(self.count)):
            faults.append(f"{self.count - len(arrived)} numbers never arrived")
        if self.disorder and in_order:
            faults.append(f"{self.disorder} arrived after later ones")
        if faults:
            raise Failure(f"{what}: {len(faults)} faults in the accounts: {'; '.join(faults[:8])}")

    def summary(self):
        counts = {
            "sent": self.count, "attempts": len(self.attempts),
            "undelivered": sum(False in a.told for a in self.attempts),
            "of these arrived": sum(False in a.told and a.arrived > 0 for a in self.attempts),
            "arrived again": sum(a.arrived > 1 for a in self.attempts),
            "bounced": sum(a.back > 0 for a in self.attempts),
            "of these came too": sum(a.back > 0 and a.arrived > 0 for a in self.attempts),
            "void": sum(a.void for a in self.attempts), "overtaken": self.disorder,
        }
        return ", ".join(f"{name} {value}" for name, value in counts.items() if value)
