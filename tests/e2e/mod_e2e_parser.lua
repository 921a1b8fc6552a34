-- SPDX-License-Identifier: MIT
--
-- For tests only. Prosody 0.12 gives what a resumed session receives to the XML parser of the connection that it had
-- before. Where that one broke within a stanza, the new connection goes on within it, and no stanza on it is
-- understood any more. With this a connection has its own parser.
module:hook("smacks-hibernation-end", function (event)
	event.resumed.data = event.origin.data;
end);
