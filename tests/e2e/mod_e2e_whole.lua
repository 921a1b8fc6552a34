-- SPDX-License-Identifier: MIT
--
-- For tests only. Prosody 0.12 gives what a resumed connection receives to the XML parser of the connection that
-- it replaces: if that one ended inside a stanza, the first bytes after resumption go on inside it, and the server
-- ends a stream in which nothing is wrong. On a host with this module the new connection keeps its own parser.
module:hook("smacks-hibernation-end", function (event)
	event.resumed.data = event.origin.data;
end);
