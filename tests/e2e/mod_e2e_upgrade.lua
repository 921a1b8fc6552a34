-- SPDX-License-Identifier: MIT
--
-- For tests only. An account of which the server has SCRAM-SHA-1 keys alone gets others by tasks of SASL2
-- [XEP-0480]; with those for SHA-256 it can log in by SCRAM-SHA-256 from then on. (Prosody 0.12 has no
-- SCRAM-SHA-512: its keys are kept, and that is all.) Whose account it is says "from" of the stream's header.
-- The log tells what is asked for, and what becomes of it.
--
--   e2e_upgrade_hashes       offered; default SHA-256
--   e2e_upgrade_iterations   default 4096
--   e2e_upgrade_password     of every account; default "secret". The log tells "SaltedPassword is right",
--                            or wrong; as a server can not know that, it goes on either way
local base64 = require "util.encodings".base64;
local hashes = require "util.hashes";
local jid_node = require "util.jid".node;
local random = require "util.random";
local sasl = require "util.sasl";
local st = require "util.stanza";
local sxor = require "util.strbitop".sxor;
local usermanager = require "core.usermanager";

module:depends("e2e_trunk"); -- for session.e2e_from

local xmlns_sasl2, xmlns_upgrade = "urn:xmpp:sasl:2", "urn:xmpp:sasl:upgrade:0";
local xmlns_scram = "urn:xmpp:scram-upgrade:0";

local offered = module:get_option_set("e2e_upgrade_hashes", { "SHA-256" });
local iterations = module:get_option_number("e2e_upgrade_iterations", 4096);
local password = module:get_option_string("e2e_upgrade_password", "secret");

local functions = {
	["SHA-256"] = { hash = hashes.sha256, hmac = hashes.hmac_sha256 };
	["SHA-512"] = { hash = hashes.sha512, hmac = hashes.hmac_sha512 };
};

-- By user and name of the hash.
local store = module:open_store("e2e_upgrade", "map");

-- ---- Keys -----------------------------------------------------------------------------------------

-- Hi() of [RFC5802 2.2].
local function derive(hmac, salt)
	local u = hmac(password, salt .. "\0\0\0\1");
	local sum = u;
	for _ = 2, iterations do
		u = hmac(password, u);
		sum = sxor(sum, u);
	end
	return sum;
end

local function keep(user, name, salt, salted)
	local f = functions[name];
	module:log("info", "Upgrade of %s to SCRAM-%s: SaltedPassword is %s", user, name,
		salted == derive(f.hmac, salt) and "right" or "wrong");
	return store:set(user, name, {
		iterations = iterations;
		salt = base64.encode(salt);
		stored_key = base64.encode(f.hash(f.hmac(salted, "Client Key")));
		server_key = base64.encode(f.hmac(salted, "Server Key"));
	});
end

local function scram_sha_256(_, user)
	local keys = store:get(user, "SHA-256");
	if not keys then return nil; end
	return base64.decode(keys.stored_key), base64.decode(keys.server_key), keys.iterations,
		base64.decode(keys.salt), true;
end

local provider = usermanager.get_provider(module.host);
local get_sasl_handler = provider.get_sasl_handler;
function provider.get_sasl_handler(session)
	local handler = get_sasl_handler(session);
	local user = jid_node(session.e2e_from);
	if user and store:get(user, "SHA-256") then
		handler.profile.scram_sha_256 = scram_sha_256;
		handler.profile.mechanisms = nil; -- to be found anew
		handler = sasl.new(handler.realm, handler.profile);
	end
	return handler;
end
function module.unload()
	provider.get_sasl_handler = get_sasl_handler;
end

-- ---- Wire -----------------------------------------------------------------------------------------

module:hook("stream-features", function (event)
	local authentication = event.features:get_child("authentication", xmlns_sasl2);
	local user = jid_node(event.origin.e2e_from);
	if not authentication or not user then return; end
	for name in offered do
		if not store:get(user, name) then
			authentication:text_tag("upgrade", "UPGR-SCRAM-" .. name, { xmlns = xmlns_upgrade });
		end
	end
end);

-- session.e2e_upgrade: names of the hashes still to do, the first one in progress once `begun`, which
-- has its salt once the client has asked for it.
module:hook_tag(xmlns_sasl2, "authenticate", function (session, stanza)
	local names = {};
	for child in stanza:childtags("upgrade", xmlns_upgrade) do
		local name = child:get_text():match("^UPGR%-SCRAM%-(.+)$");
		if name and offered:contains(name) then table.insert(names, name); end
	end
	session.e2e_upgrade = names;
	if names[1] then
		module:log("info", "Asked for by %s SCRAM-%s", session.e2e_from, table.concat(names, " SCRAM-"));
	end
end, 100);

-- Before there is a <success/>.
module:hook("sasl2/c2s/success", function (event)
	local session = event.session;
	local upgrade = session.e2e_upgrade;
	if not upgrade or not upgrade[1] then return; end
	upgrade.begun, upgrade.salt = true, nil;
	local continue = st.stanza("continue", { xmlns = xmlns_sasl2 });
	if event.message then
		continue:text_tag("additional-data", base64.encode(event.message));
	end
	session.send(continue:tag("tasks"):text_tag("task", "UPGR-SCRAM-" .. upgrade[1]));
	return true;
end, 2000);

local function refuse(session)
	session.e2e_upgrade = nil;
	return module:fire_event("sasl2/c2s/failure", { session = session, message = "malformed-request" });
end

module:hook_tag(xmlns_sasl2, "next", function (session, stanza)
	local upgrade = session.e2e_upgrade;
	if not upgrade or not upgrade.begun or upgrade.salt or stanza.attr.task ~= "UPGR-SCRAM-" .. upgrade[1] then
		return refuse(session);
	end
	upgrade.salt = random.bytes(16);
	session.send(st.stanza("task-data", { xmlns = xmlns_sasl2 })
		:text_tag("salt", base64.encode(upgrade.salt), { xmlns = xmlns_scram, iterations = ("%d"):format(iterations) }));
	return true;
end);

module:hook_tag(xmlns_sasl2, "task-data", function (session, stanza)
	local upgrade = session.e2e_upgrade;
	local salted = base64.decode(stanza:get_child_text("hash", xmlns_scram) or "");
	if not upgrade or not upgrade.salt or not salted or #salted ~= #functions[upgrade[1]].hash("") then
		return refuse(session);
	end
	keep(session.sasl_handler.username, table.remove(upgrade, 1), upgrade.salt, salted);
	return module:fire_event("sasl2/c2s/success", { session = session });
end);
