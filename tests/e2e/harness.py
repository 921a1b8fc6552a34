# SPDX-License-Identifier: MIT
"""What the end-to-end tests and the demo need: a scratch directory, children that are always ended by
their process ids, Prosody and ejabberd unprivileged on loopback, the slixmpp peer, the command line tool."""

import atexit
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PYTHON = "/usr/bin/python3"
PATIENCE = 60  # seconds until a wait is given up; never reached when all is well
# Nothing of ours allocates, and to look for leaks takes a program longer than to start and to log in.
os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=0")

PACKAGES = {
    "setpriv": "util-linux",
    "openssl": "openssl",
    "prosody": "prosody",
    "prosodyctl": "prosody",
    "erl": "ejabberd",
}


class Failure(Exception):
    """A case did not see what it has to see."""


def need(program):
    path = shutil.which(program)
    if not path:
        raise Failure(f"{program} is missing: apt-get install {PACKAGES[program]}")
    return path


def need_file(path, package):
    if not os.path.exists(path):
        raise Failure(f"{path} is missing: apt-get install {package}")
    return path


def need_slixmpp():
    if subprocess.run([PYTHON, "-c", "import slixmpp"], capture_output=True, check=False).returncode:
        raise Failure("slixmpp is missing: apt-get install python3-slixmpp")


def same(what, got, wanted):
    if got != wanted:
        raise Failure(f"{what}: got {got!r}, not {wanted!r}")


def until(what, probe, patience=PATIENCE):
    """Calls probe until it returns something true, and returns that."""
    end = time.monotonic() + patience
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > end:
            raise Failure(f"waited in vain for {what}")
        time.sleep(0.02)


# ---- Children --------------------------------------------------------------------------------------

_children = []
_scratches = []
_lock = threading.RLock()


class Child:
    """A process that does not outlive this one: setpriv has the kernel end it with its parent."""

    def __init__(self, argv, unprivileged=False, **how):
        setpriv = [need("setpriv"), "--pdeathsig", "TERM"]
        if unprivileged and os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            setpriv += [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        self.process = subprocess.Popen(setpriv + list(argv), **how)
        with _lock:
            _children.append(self)

    def alive(self):
        return self.process.poll() is None

    def stop(self, how=signal.SIGTERM):
        """Ends the process; returns its exit status."""
        if self.alive():
            self.process.send_signal(how)
        return self.wait()

    def wait(self):
        """Waits until the process has ended, but not for ever; returns its exit status."""
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        with _lock:
            if self in _children:
                _children.remove(self)
        return status


def clean_up():
    with _lock:
        left = list(reversed(_children))
    for child in left:
        if child.alive():
            child.process.terminate()
    for child in left:
        child.stop()
    while _scratches:
        shutil.rmtree(_scratches.pop(), ignore_errors=True)


def clean_up_always():
    """Also after Ctrl-C and SIGTERM; at once then, since threads may be waiting for something."""

    def leave(number, _frame):
        clean_up()
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    atexit.register(clean_up)


def scratch():
    """A directory that goes away at the end, of the user the servers run as."""
    path = tempfile.mkdtemp(prefix="xmpp-tiny-", dir="/tmp")
    _scratches.append(path)
    os.chmod(path, 0o755)
    give(path)
    return path


def give(path):
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)


def directory(*parts):
    path = os.path.join(*parts)
    os.mkdir(path)
    give(path)
    return path


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def free_ports(address, count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind((address, 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def make_pki(base):
    need("openssl")
    path = os.path.join(base, "pki")
    subprocess.run([os.path.join(ROOT, "tools", "pki"), path], check=True)
    return path


# ---- Servers ---------------------------------------------------------------------------------------


class Server:
    """address, port (STARTTLS), direct (TLS from the first byte), ca: what a client has to know."""

    address = None

    def __init__(self, base, pki):
        self.base, self.pki = directory(base, self.name), pki
        self.ca = os.path.join(pki, "ca.crt")
        self.child = None

    def pem(self, name, kind="crt"):
        return os.path.join(self.pki, f"{name}.{kind}")

    def log(self):
        return read(os.path.join(self.base, "server.log"))

    def start(self):
        self.child = self.launch()
        opened = [self.opened(port) for port in (self.port, self.direct)]

        def ready():
            if not self.child.alive():
                raise Failure(f"{self.name} ended at once:\n{self.log()[-2000:]}{self.output()[-2000:]}")
            log = self.log()
            return all(line in log for line in opened)

        # Its own log and not a connection: on a busy port somebody else would answer.
        try:
            until(f"{self.name} to open {self.address} ports {self.port} and {self.direct}", ready, 4 * PATIENCE)
        except Failure as failure:
            raise Failure(f"{failure}:\n{self.log()[-2000:]}{self.output()[-2000:]}") from failure
        return self

    def output(self):
        return read(os.path.join(self.base, "output"))

    def launch_with(self, argv, **how):
        with open(os.path.join(self.base, "output"), "w", encoding="utf-8") as output:
            return Child(argv, unprivileged=True, cwd=self.base, stdin=subprocess.DEVNULL, stdout=output,
                         stderr=subprocess.STDOUT, **how)

    def stop(self, how=signal.SIGTERM):
        return self.child.stop(how)


PROSODY = """\
pidfile = "{base}/prosody.pid"
data_path = "{data}"
plugin_paths = {{ "{plugins}" }}
run_as_root = true
log = {{ {{ levels = {{ min = "debug" }}, to = "file", filename = "{base}/server.log" }} }}
admin_socket = "{base}/admin.sock"
interfaces = {{ "{address}" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ {direct} }}
c2s_require_encryption = true
authentication = "internal_plain"
certificates = "{base}"
ssl = {{ certificate = "{pki}/a.test.crt"; key = "{pki}/a.test.key"; cafile = "{pki}/ca.crt" }}
modules_enabled = {{ "roster"; "saslauth"; "tls"; "disco"; "ping"; "presence"; "message"; "iq"; "groups" }}
modules_disabled = {{ "s2s"; "offline" }}
groups_file = "{base}/groups"
{hosts}"""

PROSODY_HOST = """\
VirtualHost "a.test"
"""

PROSODY_HOSTS = PROSODY_HOST + """\
VirtualHost "anon.a.test"
  authentication = "anonymous"
VirtualHost "endp.a.test"
  modules_enabled = {{ "e2e_endpoint" }}
  e2e_endpoint_certificate = "{pki}/a.test.crt"
VirtualHost "ext.a.test"
  authentication = "ccert"
  c2s_ssl = {{ cafile = "{pki}/ca.crt"; capath = false; verify = {{ "peer", "client_once" }};
    verifyext = {{ lsec_ignore_purpose = false }} }}
VirtualHost "rsa.a.test"
  ssl = {{ certificate = "{pki}/rsa.a.test.crt"; key = "{pki}/rsa.a.test.key" }}
  c2s_direct_tls_ssl = {{ certificate = "{pki}/rsa.a.test.crt"; key = "{pki}/rsa.a.test.key" }}
"""


class Prosody(Server):
    """Accounts with password "secret" for the JIDs of users; those of friends see each other's presence."""

    name = "prosody"
    address = "127.0.0.2"

    def __init__(self, base, pki, users, friends, hosts=True):
        super().__init__(base, pki)
        need("prosody")
        need("prosodyctl")
        # Plugins are copied: the server's user may not be able to read this folder.
        plugins = directory(self.base, "plugins")
        shutil.copy(os.path.join(HERE, "mod_e2e_endpoint.lua"), plugins)
        self.port, self.direct, self.s2s = free_ports(self.address, 3)
        values = {"base": self.base, "plugins": plugins, "data": directory(self.base, "data"), "pki": pki,
                  "address": self.address, "port": self.port, "direct": self.direct, "s2s": self.s2s}
        self.config = write(os.path.join(self.base, "prosody.cfg.lua"),
                            PROSODY.format(hosts=self.sections(hosts).format(**values), **values))
        write(os.path.join(self.base, "groups"), "[Friends]\n" + "".join(f"{jid}\n" for jid in friends))
        # Before the start, since both may write the same files.
        for jid in users:
            user, host = jid.split("@")
            maker = self.launch_with(["prosodyctl", "--config", self.config, "register", user, host, "secret"])
            if maker.wait() != 0:
                raise Failure(f"prosodyctl did not make {jid}:\n{self.output()}")

    def sections(self, several):
        """What of the configuration follows what all have in common."""
        if not several:
            return PROSODY_HOST
        need_file("/usr/lib/prosody/modules/mod_auth_ccert", "prosody-modules")
        return PROSODY_HOSTS

    def launch(self):
        return self.launch_with(["prosody", "-F", "--config", self.config])

    def opened(self, port):
        return f"on [{self.address}]:{port}"


EJABBERD = """\
loglevel: info
log_rotate_count: 0
hosts: [ {hosts} ]
certfiles: [ {certificates} ]
ca_file: "{pki}/ca.crt"
c2s_cafile: "{pki}/ca.crt"
auth_method: [ internal ]
auth_password_format: plain
disable_sasl_mechanisms: [ digest-md5, X-OAUTH2 ]
c2s_protocol_options: [ no_sslv3, no_tlsv1, no_tlsv1_1, cipher_server_preference, no_compression ]
listen:
  - {{ port: {port}, ip: "{address}", module: ejabberd_c2s, starttls_required: true, tls_verify: true,
      cafile: "{pki}/ca.crt" }}
  - {{ port: {direct}, ip: "{address}", module: ejabberd_c2s, tls: true, tls_verify: true, cafile: "{pki}/ca.crt" }}
  - {{ port: {http}, ip: "{address}", module: ejabberd_http, request_handlers: {{ /api: mod_http_api }} }}
{listeners}access_rules:
  local: {{ allow: all }}
api_permissions:
  all: {{ who: {{ ip: 127.0.0.0/8 }}, what: "*" }}
modules:
  mod_admin_extra: {{}}
  mod_disco: {{}}
  mod_http_api: {{}}
  mod_ping: {{}}
  mod_roster: {{}}
{modules}host_config:
  anon.a.test: {{ auth_method: [ anonymous ], anonymous_protocol: sasl_anon, allow_multiple_connections: true }}
{host_config}"""


class Ejabberd(Server):
    """As Prosody above. ejabberdctl insists on root and system folders, so the Erlang machine is started
    without it, and without distribution: no epmd is left behind."""

    name = "ejabberd"
    address = "127.0.0.3"
    hosts = ("a.test", "anon.a.test", "rsa.a.test")
    certificates = ("a.test", "rsa.a.test")
    listeners = modules = host_config = ""  # more of these

    def __init__(self, base, pki, users, friends):
        super().__init__(base, pki)
        self.users, self.friends = users, friends
        need("erl")
        self.port, self.direct, self.http, self.s2s = free_ports(self.address, 4)
        self.collect_certificates()
        values = {"base": self.base, "pki": pki, "address": self.address, "port": self.port, "direct": self.direct,
                  "http": self.http, "s2s": self.s2s}
        certificates = ", ".join(f'"{self.base}/{name}.pem"' for name in self.certificates)
        write(os.path.join(self.base, "ejabberd.yml"),
              EJABBERD.format(hosts=", ".join(self.hosts), certificates=certificates,
                              listeners=self.listeners.format(**values),
                              modules=self.modules.format(**values),
                              host_config=self.host_config.format(**values), **values))

    def collect_certificates(self):
        """As ejabberd wants them; reload_config makes it look at them again."""
        for name in self.certificates:
            write(os.path.join(self.base, f"{name}.pem"), read(self.pem(name)) + read(self.pem(name, "key")))

    def libraries(self):
        for top in ("/usr/lib/" + os.uname().machine + "-linux-gnu", "/usr/lib"):
            if os.path.isdir(top) and any(name.startswith("ejabberd-") for name in os.listdir(top)):
                return top
        raise Failure("ejabberd is missing: apt-get install ejabberd")

    def launch(self, **more):
        base = self.base
        environment = {
            "PATH": os.environ["PATH"], "HOME": base, "ERL_LIBS": self.libraries(),
            "EJABBERD_CONFIG_PATH": f"{base}/ejabberd.yml", "EJABBERD_LOG_PATH": f"{base}/server.log",
            "EJABBERD_PID_PATH": f"{base}/ejabberd.pid", "ERL_CRASH_DUMP": "/dev/null", "ERL_CRASH_DUMP_BYTES": "0",
            **more,
        }
        return self.launch_with(["erl", "-noinput", "+K", "true", "+sbwt", "none", "+S", "2:2", "-mnesia", "dir",
                                 f'"{base}/db"', "-s", "ejabberd"], env=environment)

    def start(self):
        super().start()
        for jid in self.users:
            user, host = jid.split("@")
            self.call("register", user=user, host=host, password="secret")
        for a in self.friends:
            for b in self.friends:
                if a != b:
                    (user, host), (other, other_host) = a.split("@"), b.split("@")
                    self.call("add_rosteritem", localuser=user, localhost=host, user=other, host=other_host,
                              nick=other, group="Friends", subs="both")
        return self

    def opened(self, port):
        return f"{self.address}:{port} for ejabberd_c2s"

    def call(self, command, **arguments):
        request = urllib.request.Request(f"http://{self.address}:{self.http}/api/{command}",
                                         json.dumps(arguments).encode(), {"Content-Type": "application/json"})

        def attempt():
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                    return answer.read()
            except ConnectionRefusedError:
                return None
            except urllib.error.URLError as error:
                if isinstance(error.reason, ConnectionRefusedError):
                    return None
                raise Failure(f"ejabberd's {command}: {error}") from error

        return until(f"ejabberd's {command}", attempt)


# ---- Programs that print one JSON object a line ------------------------------------------------------


class Speaker:
    """A program that prints events; wait() takes them, in any order, each once."""

    def __init__(self, argv, **how):
        self.events, self.taken, self.stray = [], set(), []
        self.errors = tempfile.TemporaryFile()
        self.change = threading.Condition()
        self.ended = False
        self.child = Child(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, **how)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.child.process.stdout:
            try:
                event = json.loads(line)
                event["event"]
            except (ValueError, TypeError, KeyError):
                event = None
            with self.change:
                if event is None:
                    self.stray.append(line)
                else:
                    self.events.append(event)
                self.change.notify_all()
        with self.change:
            self.ended = True
            self.change.notify_all()

    def stderr(self):
        """All that the program wrote there so far."""
        size = os.fstat(self.errors.fileno()).st_size
        return os.pread(self.errors.fileno(), size, 0).decode("utf-8", "replace")

    def story(self):
        lines = [json.dumps(event) for event in self.events[-12:]]
        if self.stray:
            lines.append(f"stray output {self.stray[-3:]!r}")
        errors = self.stderr().splitlines()
        # Of a sanitizer's report the beginning tells most.
        begin = next((at for at, line in enumerate(errors) if "Sanitizer" in line or "runtime error" in line), -12)
        return "\n    ".join(lines + errors[begin:][:12])

    def _find(self, kind, fields):
        for at, event in enumerate(self.events):
            if at not in self.taken and event["event"] == kind and \
                    all(event.get(key) == value for key, value in fields.items()):
                self.taken.add(at)
                return event
        return None

    def look(self, kind, **fields):
        """The event if it has come already, else None."""
        with self.change:
            return self._find(kind, fields)

    def wait(self, kind, patience=PATIENCE, **fields):
        end = time.monotonic() + patience
        with self.change:
            while True:
                event = self._find(kind, fields)
                if event is not None:
                    return event
                left = end - time.monotonic()
                if self.ended or left <= 0:
                    how = "ended without" if self.ended else "waited in vain for"
                    raise Failure(f"{how} event {kind} {fields or ''} of {self.title}\n    {self.story()}")
                self.change.wait(left)

    def kinds(self):
        return [event["event"] for event in self.events]

    def say(self, line):
        try:
            self.child.process.stdin.write(line.encode() + b"\n")
            self.child.process.stdin.flush()
        except BrokenPipeError as error:
            raise Failure(f"{self.title} ended early\n    {self.story()}") from error

    def end(self, status, patience=PATIENCE):
        """Waits until the program ends by itself, with that status."""
        try:
            got = self.child.process.wait(patience)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{self.title} does not end\n    {self.story()}") from error
        self.reader.join(PATIENCE)
        if got != status or self.stray:
            raise Failure(f"{self.title}: exit status {got}, not {status}\n    {self.story()}")

    def stop(self):
        status = self.child.stop()
        self.reader.join(PATIENCE)
        for file in (self.child.process.stdin, self.child.process.stdout, self.errors):
            try:
                file.close()
            except BrokenPipeError:
                pass
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Peer(Speaker):
    """peer.py, the client others wrote; a command is a JSON object, too."""

    def __init__(self, server, jid, *options, ca=None):
        need_slixmpp()
        self.title = f"slixmpp {jid}"
        self.jid = jid
        super().__init__([PYTHON, os.path.join(HERE, "peer.py"), jid, "secret", server.address,
                          str(server.port), ca or server.ca, *options])

    def do(self, what, **arguments):
        self.say(json.dumps({"do": what, **arguments}))


BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
CLI = os.path.join(BUILD, "xmpp-tiny")


class Cli(Speaker):
    """xmpp-tiny with --json. connect is a server or "host:port". ca: the server's if None, none if empty."""

    def __init__(self, connect, *options, jid="alice@a.test", password="secret", new_password=None, tls="starttls",
                 ca=None):
        if not os.path.exists(CLI):
            raise Failure(f"{CLI} is missing: run make first")
        self.title = f"xmpp-tiny {jid}"
        if isinstance(connect, Server):
            ca = connect.ca if ca is None else ca
            connect = f"{connect.address}:{connect.direct if tls == 'direct' else connect.port}"
        secrets = {"XMPP_TINY_PASSWORD": password, "XMPP_TINY_NEW_PASSWORD": new_password}
        environment = {name: value for name, value in os.environ.items() if name not in secrets}
        environment.update((name, value) for name, value in secrets.items() if value is not None)
        anchors = ["--ca", ca] if ca else []
        self.argv = [CLI, "--json", "--connect", connect, "--tls", tls, *anchors, *options, jid]
        super().__init__(self.argv, env=environment)


# ---- Cases -----------------------------------------------------------------------------------------


class Report:
    """Runs cases, prints a line for each, counts."""

    def __init__(self, only=""):
        self.only = re.compile(only)
        self.passed = self.failed = 0
        self.lock = threading.Lock()

    def run(self, name, function, *arguments, always=False):
        if not always and not self.only.search(name):
            return
        try:
            function(*arguments)
            problem = None
        except Failure as error:
            problem = str(error)
        except Exception as error:  # a defect of the test is a failure of the case, not the end of the run
            problem = f"{type(error).__name__}: {error} ({where(error)})"
        with self.lock:
            if problem is None:
                self.passed += 1
                print(f"ok    {name}", flush=True)
            else:
                self.failed += 1
                print(f"FAIL  {name}: {problem}", flush=True)


def where(error):
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
