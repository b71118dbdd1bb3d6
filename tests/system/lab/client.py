# SPDX-License-Identifier: MIT
"""A small peer of our protocol, for tests: it has the keys, and does as it is told, lies included.

Written from the protocol's description and from docs/protocol.md alone, so that it is also an
oracle: WireGuard's handshake in both roles, then hello, frames and announcements as bytes.
"""
import base64
import hashlib
import hmac
import os
import socket
import struct
import threading
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from lab.net import LabError, netns_socket, wait_for

CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)

HELLO, ANNOUNCE, ACK, CHECK = 1, 2, 3, 4
TLV = dict(version=1, features=2, mtu=3, vnis=4, ack=5, boot=6, vni=7, start=8, to=9, station=10, end=11)
FEATURE_HINT, FEATURE_FRAMES = 1, 2
GONE = 1


def _hash(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def _kdf(key, data, n):
    def mac(k, d):
        return hmac.new(k, d, hashlib.blake2s).digest()
    secret, out, block = mac(key, data), [], b""
    for i in range(n):
        block = mac(secret, block + bytes([i + 1]))
        out.append(block)
    return out


def _aead(key, counter):
    return ChaCha20Poly1305(key), struct.pack("<4xQ", counter)


def _seal(key, plain, ad, counter=0):
    cipher, nonce = _aead(key, counter)
    return cipher.encrypt(nonce, plain, ad)


def _open(key, sealed, ad, counter=0):
    cipher, nonce = _aead(key, counter)
    return cipher.decrypt(nonce, sealed, ad)


class _Noise:
    """The symmetric state of one handshake."""

    def __init__(self, responder_public):
        self.ck = _hash(CONSTRUCTION)
        self.h = _hash(_hash(self.ck, IDENTIFIER), responder_public)

    def mix(self, data):
        self.h = _hash(self.h, data)

    def key(self, secret, n=2):
        self.ck, *rest = _kdf(self.ck, secret, n)
        return rest[0] if rest else None

    def seal(self, key, plain):
        sealed = _seal(key, plain, self.h)
        self.mix(sealed)
        return sealed

    def open(self, key, sealed):
        plain = _open(key, sealed, self.h)
        self.mix(sealed)
        return plain


def tlv(name, value=b""):
    return struct.pack(">HH", TLV[name] if isinstance(name, str) else name, len(value)) + value


def control(kind, *tlvs):
    body = b"".join(tlvs)
    return struct.pack(">BBH", 0x10, kind, len(body)) + body


def station(sequence, mac, address=None, gone=False, vlan=None):
    """@mac as six bytes; @address as text or None: the MAC itself; @vlan: of the address."""
    raw = b"" if address is None else socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    family = {0: 0, 4: 4, 16: 6}[len(raw)]
    tags = b"" if vlan is None else struct.pack(">H", vlan)
    return tlv("station", struct.pack(">QBB", sequence, GONE if gone else 0, family) + mac + raw + tags)


def announce(vni, boot, after, to, *stations, end=True):
    parts = [tlv("vni", struct.pack(">I", vni)), tlv("boot", struct.pack(">Q", boot)),
             tlv("start", struct.pack(">Q", after)), tlv("to", struct.pack(">Q", to)), *stations]
    return control(ANNOUNCE, *parts, *([tlv("end")] if end else []))


def vxlan(vni, frame, hint=0, pad=None, flags=8):
    """What a session carries of a bridged network; @pad: the length to claim, if not the true one."""
    fill = -(8 + len(frame)) % 16
    head = struct.pack(">BHB", flags, 0, hint) + struct.pack(">I", vni)[1:] + bytes([fill if pad is None else pad])
    return head + frame + bytes(fill)


class Client:
    """A peer in @host's namespace that speaks to the ovltund of @public at @endpoint."""

    def __init__(self, host, private, public, endpoint, port=12345, vnis=(), features=3, mtu=1420, psk=bytes(32)):
        self.private = X25519PrivateKey.from_private_bytes(base64.b64decode(private))
        self.own = self.private.public_key().public_bytes(*RAW)
        self.remote = base64.b64decode(public)
        self.endpoint = endpoint
        self.psk = psk
        self.vnis, self.features, self.mtu = list(vnis), features, mtu
        self.boot = time.time_ns()
        self.lock = threading.Lock()
        self.sessions = {}  # our index: keys
        self.current = None
        self.pending = None
        self.plaintexts = []  # all that came, keepalives left out
        self.hellos = []
        self.answer_hellos = True
        self.ephemerals = []  # private ones, for a key log
        self.socket = netns_socket(host.netns)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("0.0.0.0", port))
        self.socket.settimeout(0.2)
        self.open = True
        self.thread = threading.Thread(target=self._receive, daemon=True)
        self.thread.start()

    def close(self):
        self.open = False
        self.thread.join()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    # The handshake, in both roles.

    def _macs(self, message):
        mac1 = hashlib.blake2s(message, digest_size=16, key=_hash(b"mac1----", self.remote)).digest()
        return message + mac1 + bytes(16)

    def _ephemeral(self):
        made = X25519PrivateKey.generate()
        self.ephemerals.append(made)
        return made

    def write_keylog(self, path):
        """What Wireshark needs to read the sessions of this client."""
        def text(key):
            raw = key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw,
                                    serialization.NoEncryption())
            return base64.b64encode(raw).decode()
        lines = [f"LOCAL_STATIC_PRIVATE_KEY = {text(self.private)}",
                 f"REMOTE_STATIC_PUBLIC_KEY = {base64.b64encode(self.remote).decode()}"]
        for key in self.ephemerals:
            lines += [f"LOCAL_EPHEMERAL_PRIVATE_KEY = {text(key)}",
                      f"PRESHARED_KEY = {base64.b64encode(self.psk).decode()}"]
        path.write_text("\n".join(lines) + "\n")

    def _dh(self, private, public):
        return private.exchange(X25519PublicKey.from_public_bytes(public))

    def connect(self, seconds=5):
        """Initiates, and waits for the session and the daemon's hello."""
        noise = _Noise(self.remote)
        ephemeral = self._ephemeral()
        public = ephemeral.public_key().public_bytes(*RAW)
        index = struct.unpack("<I", os.urandom(4))[0]
        noise.key(public, 1)
        noise.mix(public)
        static = noise.seal(noise.key(self._dh(ephemeral, self.remote)), self.own)
        now = time.time_ns()
        stamp = struct.pack(">QI", 0x400000000000000a + now // 10**9, now % 10**9)
        stamped = noise.seal(noise.key(self._dh(self.private, self.remote)), stamp)
        message = struct.pack("<II", 1, index) + public + static + stamped
        before = self.current
        self.pending = (index, noise, ephemeral)
        self.socket.sendto(self._macs(message), self.endpoint)
        wait_for(lambda: self.current is not before, seconds, "the daemon's response")
        self.hello()
        return self

    def _response(self, data):
        if not self.pending or len(data) != 92:
            return
        index, noise, ephemeral = self.pending
        sender, receiver = struct.unpack("<II", data[4:12])
        if receiver != index:
            return
        public = data[12:44]
        noise.key(public, 1)
        noise.mix(public)
        noise.key(self._dh(ephemeral, public), 1)
        noise.key(self._dh(self.private, public), 1)
        noise.ck, tau, key = _kdf(noise.ck, self.psk, 3)
        noise.mix(tau)
        noise.open(key, data[44:60])
        send, receive = _kdf(noise.ck, b"", 2)
        self._session(index, sender, send, receive)
        self.pending = None

    def _initiation(self, data):
        if len(data) != 148:
            return
        sender = struct.unpack("<I", data[4:8])[0]
        noise = _Noise(self.own)
        remote = data[8:40]
        noise.key(remote, 1)
        noise.mix(remote)
        static = noise.open(noise.key(self._dh(self.private, remote)), data[40:88])
        if static != self.remote:
            return
        noise.open(noise.key(self._dh(self.private, static)), data[88:116])
        ephemeral = self._ephemeral()
        public = ephemeral.public_key().public_bytes(*RAW)
        index = struct.unpack("<I", os.urandom(4))[0]
        noise.key(public, 1)
        noise.mix(public)
        noise.key(self._dh(ephemeral, remote), 1)
        noise.key(self._dh(ephemeral, static), 1)
        noise.ck, tau, key = _kdf(noise.ck, self.psk, 3)
        noise.mix(tau)
        empty = noise.seal(key, b"")
        receive, send = _kdf(noise.ck, b"", 2)
        self._session(index, sender, send, receive)
        self.socket.sendto(self._macs(struct.pack("<III", 2, index, sender) + public + empty), self.endpoint)

    def _session(self, index, remote, send, receive):
        self.sessions[index] = dict(remote=remote, cipher=ChaCha20Poly1305(send), receive=receive, counter=0)
        self.current = self.sessions[index]

    # What a session carries.

    def _receive(self):
        while self.open:
            try:
                data = self.socket.recv(65535)
            except (TimeoutError, ConnectionError):
                continue
            try:
                self._take(data)
            except (InvalidTag, ValueError, struct.error):
                continue

    def _take(self, data):
        kind = struct.unpack("<I", data[:4])[0]
        if kind == 1:
            self._initiation(data)
        elif kind == 2:
            self._response(data)
        elif kind == 4:
            index, counter = struct.unpack("<IQ", data[4:16])
            session = self.sessions.get(index)
            if not session:
                return
            plain = _open(session["receive"], data[16:], b"", counter)
            if plain:
                self._plaintext(plain)

    def _plaintext(self, plain):
        with self.lock:
            self.plaintexts.append(plain)
        if plain[:2] == bytes([0x10, HELLO]):
            fields = self.fields(plain)
            self.hellos.append(fields)
            if self.answer_hellos and "ack" not in fields:
                self.hello(ack=True)

    @staticmethod
    def fields(message):
        """A control message's TLVs by name; stations as a list."""
        out, at, names = {"station": []}, 4, {v: k for k, v in TLV.items()}
        end = 4 + struct.unpack(">H", message[2:4])[0]
        while at < end:
            kind, size = struct.unpack(">HH", message[at:at + 4])
            value = message[at + 4:at + 4 + size]
            if names.get(kind) == "station":
                out["station"].append(value)
            else:
                out[names.get(kind, kind)] = value
            at += 4 + size
        return out

    def send(self, plain):
        """Seals @plain as it is, padding and all."""
        session = self.current
        if not session:
            raise LabError("no session")
        with self.lock:
            counter = session["counter"]
            session["counter"] += 1
        sealed = session["cipher"].encrypt(struct.pack("<4xQ", counter), bytes(plain), b"")
        self.socket.sendto(struct.pack("<IIQ", 4, session["remote"], counter) + sealed, self.endpoint)

    def hello(self, ack=True, vnis=None, features=None, boot=None):
        vnis = self.vnis if vnis is None else vnis
        parts = [tlv("version", b"\0\1"),
                 tlv("features", struct.pack(">Q", self.features if features is None else features)),
                 tlv("mtu", struct.pack(">H", self.mtu)),
                 tlv("vnis", b"".join(struct.pack(">I", v) for v in vnis)),
                 tlv("boot", struct.pack(">Q", self.boot if boot is None else boot))]
        self.send(control(HELLO, *parts, *([tlv("ack")] if ack else [])))

    def frame(self, vni, frame, **kwargs):
        self.send(vxlan(vni, bytes(frame), **kwargs))

    def take(self):
        """All plaintexts that came since the last call."""
        with self.lock:
            out, self.plaintexts = self.plaintexts, []
        return out

    def frames(self, vni):
        """Ethernet frames of @vni among what came, padding cut off."""
        out = []
        for plain in self.take():
            if plain[0] == 8 and int.from_bytes(plain[4:7], "big") == vni:
                out.append(plain[8:len(plain) - plain[7]])
        return out
