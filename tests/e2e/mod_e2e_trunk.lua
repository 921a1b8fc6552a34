-- SPDX-License-Identifier: MIT
--
-- For tests only. Debian 12 has Prosody 0.12 and, for SASL2 [XEP-0388], Bind 2 [XEP-0386], FAST [XEP-0484]
-- and stream management within them, the modules sasl2, sasl2_bind2, sasl2_fast and sasl2_sm, which are
-- written for what became Prosody 13. This gives them what they look for there, and no more.
local filters = require "util.filters";
local errors = require "util.error";
local datetime = require "util.datetime";
local st = require "util.stanza";

local xmlns_sasl2, xmlns_sm = "urn:xmpp:sasl:2", "urn:xmpp:sm:3";

-- ---- Functions ------------------------------------------------------------------------------------

local stanza_methods = getmetatable(st.stanza("any"));

function stanza_methods:get_child_attr(name, xmlns, attr)
	local child = self:get_child(name, xmlns);
	return child and child.attr[attr];
end

-- Only <failed/> is made with it, which has the condition as its child.
function stanza_methods:add_error(err)
	return self:tag(err.condition, { xmlns = "urn:ietf:params:xml:ns:xmpp-stanzas" }):up();
end

-- Lua 5.4 takes no fraction for a date.
local date_and_time = datetime.datetime;
function datetime.datetime(t)
	return date_and_time(t and math.floor(t));
end

-- ---- Streams --------------------------------------------------------------------------------------

-- The client's "from" is the "to" of our answer, and this function is asked before that is sent.
local function remember(session)
	if session.type ~= "c2s_unauthed" then return; end
	function session:stream_attrs(_, to)
		self.e2e_from = to;
	end
end
filters.add_filter_hook(remember);
function module.unload()
	filters.remove_filter_hook(remember);
end

module:hook("stream-features", function (event)
	local session = event.origin;
	local conn = session.conn;
	function conn:ssl_info() return self:socket():info(); end
	function conn:ssl_peerfinished() return self:socket():getpeerfinished(); end
	function conn:ssl_exportkeyingmaterial(...) return self:socket():exportkeyingmaterial(...); end
	event.stream = { from = session.e2e_from };
end, 1000);

-- Bound already, the client has no use for another <bind/>.
module:hook("stream-features", function (event)
	if not event.origin.full_jid then return; end
	event.features:maptags(function (child)
		return child.name ~= "bind" and child.name ~= "session" and child or nil;
	end);
end, -100);

-- ---- A second attempt on the same stream ------------------------------------------------------------

module:hook_tag(xmlns_sasl2, "authenticate", function (session)
	session.e2e_handler = session.e2e_handler or session.sasl_handler;
end, 200);

module:hook("sasl2/c2s/failure", function (event)
	local session = event.session;
	local first = session.e2e_handler;
	if not first then return; end
	session.sasl_handler = first:clean_clone();
	session.sasl_handler.userdata = first.userdata;
end, 1);

-- ---- Stream management ------------------------------------------------------------------------------

local smacks = module:depends("smacks");

-- What 0.12 answers at once goes into <success/>, or after it.
local function capture(session, handle, stanza)
	local answers = {};
	local function keep(answer) table.insert(answers, answer); end
	filters.add_filter(session, "stanzas/out", keep, 1000);
	handle(session, stanza, xmlns_sm);
	filters.remove_filter(session, "stanzas/out", keep);
	return answers;
end

local function failure(failed)
	return nil, errors.new({ type = "cancel", condition = failed.tags[1].name }, { h = tonumber(failed.attr.h) });
end

function smacks.do_enable(session, stanza)
	local answer = capture(session, smacks.handle_enable, stanza)[1];
	if answer.name ~= "enabled" then return failure(answer); end
	return { type = "enabled", id = answer.attr.id, resume_max = answer.attr.max, finish = function () end };
end

function smacks.do_resume(session, stanza)
	local resumed;
	local function note(event) resumed = event.resumed; end
	module:hook("smacks-hibernation-end", note);
	local answers = capture(session, smacks.handle_resume, stanza);
	module:unhook("smacks-hibernation-end", note);
	if not resumed then return failure(answers[1]); end
	return { type = "resumed", session = resumed, id = stanza.attr.previd, finish = function ()
		resumed.resending_unacked = true; -- they are in the queue already
		for at = 2, #answers do resumed.send(answers[at]); end
		resumed.resending_unacked = nil;
	end };
end
