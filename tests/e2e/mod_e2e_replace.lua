-- SPDX-License-Identifier: MIT
--
-- For tests only. When Prosody 0.12 resumes a session, two things of the new connection are left behind that should
-- take the place of the old one's: the XML parser, so that a connection which broke within a stanza goes on within
-- it, and no stanza is understood any more; and the SASL handler, so that sasl2_fast stops with a traceback
-- where a session that was begun by a token is resumed by a token.
module:hook("smacks-hibernation-end", function (event)
	event.resumed.data = event.origin.data;
	event.resumed.sasl_handler = event.origin.sasl_handler;
end);
