-- SPDX-License-Identifier: MIT
--
-- For tests only. Prosody 0.12 knows no channel binding but tls-unique, and says nothing of it. On a
-- host with this module it takes tls-server-end-point alone [RFC5929 4], and says so [XEP-0440]: a
-- client that ignores the list and uses tls-unique is refused.
local base64 = require "util.encodings".base64;
local sha256 = require "util.hashes".sha256;

local file = assert(io.open(module:get_option_string("e2e_endpoint_certificate")));
local pem = file:read("a"):match("%-%-%-%-%-BEGIN CERTIFICATE%-%-%-%-%-(.-)%-%-%-%-%-END");
file:close();
-- The test certificates are signed with SHA-256, which then is the hash to use.
local endpoint = sha256(base64.decode((pem:gsub("%s", ""))));

-- After mod_saslauth has made the handler: it lists -PLUS only where it has tls-unique.
module:hook("stream-features", function (event)
	local session = event.origin;
	if session.username or not session.encrypted or not session.sasl_handler then return; end
	session.sasl_handler.profile.cb = { ["tls-server-end-point"] = function () return endpoint; end };
	event.features:tag("sasl-channel-binding", { xmlns = "urn:xmpp:sasl-cb:0" })
		:tag("channel-binding", { type = "tls-server-end-point" }):up():up();
end, -1);
