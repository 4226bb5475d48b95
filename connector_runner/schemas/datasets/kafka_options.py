"""Options of Kafka: which settings of librdkafka a Dataset may have, under their own names.

Not among them is whatever the promise rests on (transactions, isolation, acknowledgements, partitioning), what loads code, and what reads
files of the runner's machine: certificates and keys are given as texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from connector_runner.schemas.datasets.descriptor import Option

_PEM = r"\s*-----BEGIN .*-----END [A-Z0-9 ]+-----\s*"
_IS_PEM = "PEM text, from -----BEGIN to -----END"
_URL = r"https?://\S+"
_YES_NO = ("true", "false")
FORMATS = ("json", "avro")
STATE = "state.max.mib"
REGISTRY = "schema.registry."
"""How the options of the registry begin; librdkafka has none of them."""
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")


def _number(meaning: str, low: int, high: int, default: int) -> Option:
    return Option(meaning, between=(low, high), default=str(default))


KAFKA_OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        "format": Option("how values are written", values=FORMATS, default="json"),
        STATE: _number(
            "how much the runner may store on its disk of what the topics hold, in MiB; see [what each operation means]"
            "(kafka.md#what-each-operation-means)",
            1,
            1_048_576,
            4096,
        ),
        "schema.registry.url": Option(
            "the Confluent-compatible schema registry for format avro, with its path",
            pattern=r"https?://[^\s@?#]+",
            expected="a URL that begins with https:// or http://, without a user",
        ),
        "schema.registry.username": Option("the user at the registry"),
        "schema.registry.password": Option("the password at the registry", is_secret=True),
        "schema.registry.bearer.token": Option("a token for the registry, instead of a user", is_secret=True),
        "schema.registry.ca.pem": Option(
            "the certificate authority of the registry", pattern=_PEM, expected=_IS_PEM, default="the system's"
        ),
        "schema.registry.auto.register": Option(
            "whether the runner registers schemas; else they must be there", values=_YES_NO, default="true"
        ),
        "security.protocol": Option(
            "whether connections are encrypted (`SSL`) and authenticated (`SASL`)",
            values=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
            default="PLAINTEXT",
        ),
        "sasl.mechanism": Option("how to authenticate; required with SASL", values=MECHANISMS),
        "sasl.username": Option("the user, for PLAIN and SCRAM"),
        "sasl.password": Option("the password, for PLAIN and SCRAM", is_secret=True),
        "sasl.oauthbearer.token.endpoint.url": Option(
            "where OAUTHBEARER gets its token, by OpenID Connect with client credentials",
            pattern=_URL,
            expected="a URL that begins with https:// or http://",
        ),
        "sasl.oauthbearer.client.id": Option("the client at the token endpoint"),
        "sasl.oauthbearer.client.secret": Option("its secret", is_secret=True),
        "sasl.oauthbearer.scope": Option("the scope to ask for"),
        "sasl.oauthbearer.extensions": Option("SASL extensions for the broker, as in `key=value,key=value`"),
        "https.ca.pem": Option(
            "the certificate authority of the token endpoint", pattern=_PEM, expected=_IS_PEM, default="the system's"
        ),
        "ssl.ca.pem": Option(
            "the certificate authority of the brokers", pattern=_PEM, expected=_IS_PEM, default="the system's"
        ),
        "ssl.certificate.pem": Option(
            "the runner's own certificate, where brokers ask for one (mutual TLS)", pattern=_PEM, expected=_IS_PEM
        ),
        "ssl.key.pem": Option("the private key of this certificate", is_secret=True, pattern=_PEM, expected=_IS_PEM),
        "ssl.key.password": Option("the password of the private key, if it is encrypted", is_secret=True),
        "ssl.endpoint.identification.algorithm": Option(
            "whether the broker's certificate must name its host", values=("https", "none"), default="https"
        ),
        "ssl.cipher.suites": Option("the ciphers of TLS up to 1.2, as OpenSSL lists them", default="OpenSSL's"),
        "ssl.curves.list": Option("the curves of TLS, as OpenSSL lists them", default="OpenSSL's"),
        "ssl.sigalgs.list": Option("the signature algorithms of TLS, as OpenSSL lists them", default="OpenSSL's"),
        "compression.type": Option(
            "how records are compressed", values=("none", "gzip", "snappy", "lz4", "zstd"), default="lz4"
        ),
        "compression.level": _number("how hard; what a number means depends on the type", -1, 12, -1),
        "linger.ms": _number("how long records wait for others of their batch", 0, 1000, 5),
        "batch.size": _number(
            "how large a batch of records may be, in bytes; `max.message.bytes` of each topic must be 65,536 larger",
            1024,
            983_040,
            524_288,
        ),
        "queue.buffering.max.kbytes": _number(
            "how much may wait to be sent; it is the runner's memory", 1024, 1_048_576, 65_536
        ),
        "client.id": Option(
            "the name by which brokers log the runner and limit it (quotas)", default="connector-runner"
        ),
        "client.rack": Option("where the runner is, so that it reads from brokers nearby"),
        "broker.address.family": Option("which addresses to connect to", values=("any", "v4", "v6"), default="any"),
        "client.dns.lookup": Option(
            "how names of brokers become addresses",
            values=("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
            default="use_all_dns_ips",
        ),
        "socket.keepalive.enable": Option("whether TCP looks for dead connections", values=_YES_NO, default="false"),
        "socket.nagle.disable": Option("whether small packets are sent at once", values=_YES_NO, default="true"),
        "socket.send.buffer.bytes": _number("the buffer of TCP; 0 for the system's", 0, 100_000_000, 0),
        "socket.receive.buffer.bytes": _number("the buffer of TCP; 0 for the system's", 0, 100_000_000, 0),
        "socket.timeout.ms": _number("how long a request may take", 1000, 60_000, 60_000),
        "socket.connection.setup.timeout.ms": _number("how long connecting may take", 1000, 60_000, 5000),
        "connections.max.idle.ms": _number("when idle connections are closed; 0 for never", 0, 2_147_483_647, 0),
        "reconnect.backoff.max.ms": _number("the longest pause between attempts to connect", 100, 60_000, 1000),
        "metadata.max.age.ms": _number("how old knowledge about topics may be", 10_000, 86_400_000, 900_000),
        "max.partition.fetch.bytes": _number("how much is read at once from a partition", 1024, 100_000_000, 1_048_576),
    }
)
_OWN = "the promise rests on it, and the runner sets it"
_FILES = "files of the runner's machine are not read; give the text in {}"
REFUSED_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "bootstrap.servers": "the URL names the brokers",
        "metadata.broker.list": "the URL names the brokers",
        "plugin.library.paths": "it would load code",
        "ssl.engine.location": "it would load code",
        "ssl.providers": "it would load code",
        "sasl.kerberos.kinit.cmd": "it would run a command",
        "sasl.mechanisms": "its name here is sasl.mechanism",
        "ssl.ca.location": _FILES.format("ssl.ca.pem"),
        "ssl.certificate.location": _FILES.format("ssl.certificate.pem"),
        "ssl.key.location": _FILES.format("ssl.key.pem"),
        "ssl.keystore.location": _FILES.format("ssl.certificate.pem and ssl.key.pem"),
        "ssl.truststore.location": _FILES.format("ssl.ca.pem"),
        "https.ca.location": _FILES.format("https.ca.pem"),
        "enable.ssl.certificate.verification": "whoever answers would be believed; give the authority in ssl.ca.pem, or set ssl.endpoint.identification.algorithm to none",
        "enable.sasl.oauthbearer.unsecure.jwt": "tokens that nobody signed protect nothing",
        "sasl.oauthbearer.method": "OAUTHBEARER uses OpenID Connect here",
        **dict.fromkeys(
            (
                "acks", "request.required.acks", "enable.idempotence", "transactional.id", "transaction.timeout.ms", "isolation.level",
                "max.in.flight", "max.in.flight.requests.per.connection", "partitioner", "retries", "message.send.max.retries",
                "message.timeout.ms", "delivery.timeout.ms", "message.max.bytes", "group.id", "group.instance.id",
                "enable.auto.commit", "auto.offset.reset", "enable.gapless.guarantee", "queuing.strategy", "check.crcs",
                "allow.auto.create.topics",
            ),
            _OWN,
        ),
    }
)  # fmt: skip


def check_options(options: Mapping[str, str]) -> Iterator[str]:
    """See `Descriptor.check_options`."""
    protocol = options.get("security.protocol", "PLAINTEXT")
    has_sasl, has_tls = protocol.startswith("SASL"), protocol.endswith("SSL")
    for name in options:
        if name.startswith("sasl.") and not has_sasl:
            yield f"{name} has no effect with security.protocol {protocol}; set that to SASL_SSL or SASL_PLAINTEXT"
        if name.startswith("ssl.") and not has_tls:
            yield f"{name} has no effect with security.protocol {protocol}; set that to SSL or SASL_SSL"
    if ("ssl.certificate.pem" in options) != ("ssl.key.pem" in options):
        yield "ssl.certificate.pem and ssl.key.pem belong together; give both or none"
    if has_sasl:
        yield from _check_sasl(options)
    yield from _check_registry(options)


def _check_registry(options: Mapping[str, str]) -> Iterator[str]:
    given = {name.removeprefix(REGISTRY) for name in options if name.startswith(REGISTRY)}
    if options.get("format", "json") != "avro":
        yield from (f"{REGISTRY}{name} has no effect with format json; set format to avro" for name in sorted(given))
        return
    if "url" not in given:
        yield "schema.registry.url is missing, which format avro needs"
    if ("username" in given) != ("password" in given):
        yield "schema.registry.username and schema.registry.password belong together; give both or none"
    if "bearer.token" in given and "username" in given:
        yield "schema.registry.bearer.token and schema.registry.username are two ways; give one"
    if "ca.pem" in given and options.get("schema.registry.url", "https").startswith("http://"):
        yield "schema.registry.ca.pem has no effect with a URL that begins with http://"


def _check_sasl(options: Mapping[str, str]) -> Iterator[str]:
    mechanism = options.get("sasl.mechanism")
    if mechanism is None:
        yield f"sasl.mechanism is missing; give one of {', '.join(MECHANISMS)}"
        return
    oauth = ("sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret")
    needed = oauth if mechanism == "OAUTHBEARER" else ("sasl.username", "sasl.password")
    for name in needed:
        if name not in options:
            yield f"{name} is missing, which {mechanism} needs"
    for name in options:
        is_oauth = name.startswith("sasl.oauthbearer.") or name == "https.ca.pem"
        if (is_oauth and mechanism != "OAUTHBEARER") or (
            name in {"sasl.username", "sasl.password"} and mechanism == "OAUTHBEARER"
        ):
            yield f"{name} has no effect with sasl.mechanism {mechanism}"


def settings_of(options: Mapping[str, str]) -> dict[str, str]:
    """The settings of librdkafka for valid options."""
    found = {
        name: value
        for name, value in options.items()
        if name not in {"format", STATE} and not name.startswith(REGISTRY)
    }
    if found.get("sasl.mechanism") == "OAUTHBEARER":
        found["sasl.oauthbearer.method"] = "oidc"
    return found


def state_limit(options: Mapping[str, str]) -> int:
    """How many MiB of what the topics hold may be on the runner's disk."""
    return int(options.get(STATE, KAFKA_OPTIONS[STATE].default))
