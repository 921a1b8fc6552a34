-- SPDX-License-Identifier: MIT
--
-- For tests only. A host that has SASL2 [XEP-0388] and no legacy SASL. Without mod_saslauth no resource could be
-- bound but by Bind 2, so it stays, and is not heard.
local xmlns_sasl = "urn:ietf:params:xml:ns:xmpp-sasl";

module:hook("stream-features", function (event)
	event.features:remove_children("mechanisms", xmlns_sasl);
end, -500);

module:hook_tag(xmlns_sasl, "auth", function (session)
	session:close("unsupported-stanza-type");
	return true;
end, 1000);
