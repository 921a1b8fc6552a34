-- SPDX-License-Identifier: MIT
--
-- For tests only. Gives SCRAM the attribute h=, by which a client finds out that somebody has changed the
-- lists of mechanisms and channel bindings on their way [XEP-0474], in legacy SASL and in SASL2.
--
--   e2e_downgrade_strip   names of mechanisms and bindings that somebody takes away on their way
--   e2e_downgrade_hash    a text that h= has instead of the right one
local base64 = require "util.encodings".base64;
local hashes = require "util.hashes";

local stripped = module:get_option_set("e2e_downgrade_strip", {});
local forged = module:get_option_string("e2e_downgrade_hash");

-- The names in a list as they are hashed; takes away those that do not arrive.
local function join(list, name_of)
	local names = {};
	list:maptags(function (child)
		local name = name_of(child);
		if not name then return child; end
		table.insert(names, name);
		return not stripped:contains(name) and child or nil;
	end);
	table.sort(names);
	return table.concat(names, "\30");
end

local function mechanism(child)
	return child.name == "mechanism" and child:get_text() or nil;
end

local function binding(child)
	return child.attr.type;
end

local function protect(xmlns, list, start)
	-- After all who put something into the lists, but the bindings once for both.
	module:hook("stream-features", function (event)
		local session, features = event.origin, event.features;
		local mechanisms = features:get_child(list, xmlns);
		if not mechanisms then return; end
		session.e2e_offer = session.e2e_offer or {};
		session.e2e_offer[xmlns] = join(mechanisms, mechanism);
	end, -1000);

	module:hook_tag(xmlns, start, function (session)
		local handler = session.sasl_handler;
		local offer = handler and session.e2e_offer and session.e2e_offer[xmlns];
		if not offer then return; end
		if session.e2e_bindings then offer = offer .. "\31" .. session.e2e_bindings; end
		local process = handler.process;
		function handler:process(message)
			local status, text, detail = process(self, message);
			if status == "challenge" then
				local name = self.selected:match("^SCRAM%-(SHA%-%d+)"):lower():gsub("%-", "");
				text = text .. ",h=" .. (forged or base64.encode(hashes[name](offer)));
				-- What both sides sign.
				self.state.server_first_message = text;
			end
			return status, text, detail;
		end
	end, 50);
end

protect("urn:ietf:params:xml:ns:xmpp-sasl", "mechanisms", "auth");
protect("urn:xmpp:sasl:2", "authentication", "authenticate");

module:hook("stream-features", function (event)
	local list = event.features:get_child("sasl-channel-binding", "urn:xmpp:sasl-cb:0");
	if list then event.origin.e2e_bindings = join(list, binding); end
end, -1000);
