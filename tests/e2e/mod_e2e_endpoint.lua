-- SPDX-License-Identifier: MIT
--
-- For tests only. Prosody 0.12 knows no channel binding but tls-unique, and says nothing of it. On a
-- host with this module it takes those of the option e2e_bindings, by default tls-server-end-point alone
-- [RFC5929 4], and says so [XEP-0440]: a client that ignores the list is refused.
local base64 = require "util.encodings".base64;
local sha256 = require "util.hashes".sha256;

local file = assert(io.open(module:get_option("ssl").certificate));
local pem = file:read("a"):match("%-%-%-%-%-BEGIN CERTIFICATE%-%-%-%-%-(.-)%-%-%-%-%-END");
file:close();
-- The test certificates are signed with SHA-256, which then is the hash to use.
local endpoint = sha256(base64.decode((pem:gsub("%s", ""))));

local known = {
	["tls-unique"] = function (socket) return socket:getpeerfinished(); end;
	["tls-server-end-point"] = function () return endpoint; end;
	["tls-exporter"] = function (socket) -- [RFC9266]
		return socket:exportkeyingmaterial("EXPORTER-Channel-Binding", 32, "");
	end;
};
local names = module:get_option_array("e2e_bindings", { "tls-server-end-point" });

local function bind(session)
	local bindings = {};
	for _, name in ipairs(names) do
		bindings[name] = function () return known[name](session.conn:socket()); end;
	end
	session.sasl_handler.profile.cb = bindings;
end

-- After the lists of mechanisms are made: they hold -PLUS only where there is tls-unique.
module:hook("stream-features", function (event)
	local session = event.origin;
	if session.username or not session.encrypted or not session.sasl_handler then return; end
	bind(session);
	event.features:tag("sasl-channel-binding", { xmlns = "urn:xmpp:sasl-cb:0" });
	for _, name in ipairs(names) do
		event.features:tag("channel-binding", { type = name }):up();
	end
	event.features:up();
end, -1);

-- FAST offers HT-* by the bindings there are by now.
module:hook("advertise-sasl-features", function (event)
	if event.origin.encrypted then bind(event.origin); end
end, 1);
