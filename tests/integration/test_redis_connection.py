"""The way to a real Valkey: outages, lost answers, passwords, TLS."""

import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.records import ABSENT
from storage.errors import StoreUnavailableError
from storage.ports import (
    StoreCall,
    Stored,
)
from storage.redis_store import RedisStore
from tests.proxy import Proxy
from tests.store_steps import KEY, STORE_ID, Start, next_version, servers, state, step


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with servers(tmp_path) as started:
        yield started


class TestConnection:
    def test_nobody_there(self) -> None:
        """A wrong address is told with its code."""
        with pytest.raises(StoreUnavailableError) as caught:
            RedisStore("redis://127.0.0.1:1/0")
        assert caught.value.code == "store.unreachable"

    def test_a_store_goes_on_when_its_server_is_back(self, start: Start) -> None:
        """No new object is needed after an outage."""
        server = start()
        store = RedisStore(server.url)
        store.create(STORE_ID)
        server.stop()
        for attempt in (store.load, lambda: store.fetch([KEY]), lambda: store.count("bank")):
            with pytest.raises(StoreUnavailableError):
                attempt()
        server.start()
        assert state(store) == (-1, ABSENT)

    def test_a_call_whose_answer_is_lost_is_not_tried_again(self, start: Start) -> None:
        """It was done, once: a driver that tried again would be refused by its own success."""
        server = start()
        proxy = Proxy(server.port)
        store = RedisStore(f"redis://127.0.0.1:{proxy.port}/0")
        store.create(STORE_ID)
        store.apply(StoreCall(expected_cells={}, cells={"warm": b"1"}))
        proxy.lose_answers = True
        with pytest.raises(StoreUnavailableError):
            store.apply(step(0, next_version(ABSENT, 0)))
        assert proxy.lost == 1
        proxy.lose_answers = False
        assert state(store)[0] == 0
        proxy.close()

    def test_a_server_that_forgot_the_script(self, start: Start) -> None:
        """SCRIPT FLUSH between calls does not show."""
        server = start()
        store = RedisStore(server.url)
        store.create(STORE_ID)
        record = ABSENT
        for sequence in range(3):
            server.command("SCRIPT", "FLUSH")
            record = next_version(record, sequence)
            assert isinstance(store.apply(step(sequence, record)), Stored)
        assert state(store)[0] == 2

    def test_a_read_only_server(self, start: Start) -> None:
        """A server that became somebody's replica takes no calls, and says why."""
        server = start()
        store = RedisStore(server.url)
        store.create(STORE_ID)
        server.command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreUnavailableError, match=r"(?i)read.?only|replica"):
            store.apply(step(0, next_version(ABSENT, 0)))
        server.command("REPLICAOF", "NO", "ONE")
        assert state(store)[0] == -1

    def test_password_and_unix_socket(self, start: Start, tmp_path: Path) -> None:
        """Both by URL; a wrong password is told, and never shown."""
        server = start(requirepass="open sesame")
        for url in (
            f"redis://:open%20sesame@127.0.0.1:{server.port}/0",
            f"unix://{tmp_path}/socket?password=open%20sesame",
        ):
            RedisStore(url).close()
        with pytest.raises(StoreUnavailableError) as caught:
            RedisStore(f"redis://:a-wrong-one@127.0.0.1:{server.port}/0")
        assert "a-wrong-one" not in str(caught.value)
        with pytest.raises(StoreUnavailableError):
            RedisStore(server.url)

    def test_tls(self, start: Start, tmp_path: Path) -> None:
        """By URL, with the certificate to trust; a certificate that is not trusted is refused."""
        server = start()
        certificate, key = self_signed(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        proxy = Proxy(server.port, context)
        store = RedisStore(f"rediss://localhost:{proxy.port}/0?ssl_ca_certs={certificate}")
        store.create(STORE_ID)
        assert state(store) == (-1, ABSENT)
        with pytest.raises(StoreUnavailableError, match=r"(?i)certificate"):
            RedisStore(f"rediss://localhost:{proxy.port}/0")
        proxy.close()


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file
