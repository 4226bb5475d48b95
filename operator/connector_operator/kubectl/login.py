"""Connections to the API server with the credentials of a kubeconfig's context: TLS, tokens, credential plugins, proxies."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3

from connector_operator.kubectl.kubeconfig import Access
from connector_operator.kubectl.proxies import find_environment_proxy
from connector_operator.kubectl.refusals import RefusedError

CONNECTIONS = 8
"""So many requests may be under way at once."""
HEADER_SAFE = "!#$&'*+^`|"
"""What client-go leaves as it is in the name of a header, besides letters, digits and `-._~`."""


@dataclass(frozen=True, slots=True)
class Session:
    """What requests are sent through.

    Attributes:
        headers: That say who asks.
        is_renewable: Whether a new one may have other credentials, when these are refused.
    """

    pool: urllib3.PoolManager
    headers: urllib3.HTTPHeaderDict
    is_renewable: bool


def open_session(access: Access, acting_as: str) -> Session:
    """A session for a context; nothing is sent yet, but a credential plugin is run.

    Raises:
        RefusedError: The credentials can't be read or got.
    """
    is_asked = bool(access.user.get("exec")) and not has_static_credentials(access)
    got = run_plugin(access) if is_asked else {}
    headers = _build_headers(access, str(got.get("token") or ""), acting_as)
    tls = build_tls(access, got)
    options: dict[str, Any] = {"ssl_context": tls, "retries": False, "maxsize": CONNECTIONS}
    if name := access.cluster.get("tls-server-name"):
        options |= {"server_hostname": name, "assert_hostname": name}
    proxy = find_proxy(access, os.environ)
    pool = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
    return Session(pool, headers, is_renewable=is_asked or bool(access.user.get("tokenFile")))


def has_static_credentials(access: Access) -> bool:
    """Whether the user has a token, a name or a certificate of its own; client-go runs no credential plugin then."""
    user = access.user
    pair = [user.get(name) or user.get(f"{name}-data") for name in ("client-certificate", "client-key")]
    return bool(user.get("token") or user.get("tokenFile") or user.get("username") or all(pair))


def _build_headers(access: Access, token: str, acting_as: str) -> urllib3.HTTPHeaderDict:
    user, headers = access.user, urllib3.HTTPHeaderDict()
    token = token or access.read_token()
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif user.get("username"):
        headers["Authorization"] = urllib3.make_headers(basic_auth=f"{user['username']}:{user.get('password') or ''}")[
            "authorization"
        ]
    _add_impersonation(headers, access, acting_as)
    return headers


def _add_impersonation(headers: urllib3.HTTPHeaderDict, access: Access, acting_as: str) -> None:
    """As kubectl: `--as` takes the place of the kubeconfig's user, and what else that says of it stays."""
    user = access.user
    whom, uid, groups = acting_as or user.get("as"), user.get("as-uid"), user.get("as-groups") or ()
    extra: Mapping[str, Any] = user.get("as-user-extra") or {}
    if not whom and (uid or groups or extra):
        raise RefusedError(
            f"The kubeconfig's context {access.context} has as-uid, as-groups or as-user-extra without the user (`as`): name it there, or by --as."
        )
    if whom:
        headers["Impersonate-User"] = str(whom)
    if uid:
        headers["Impersonate-Uid"] = str(uid)
    for group in groups:
        headers.add("Impersonate-Group", str(group))
    for name, values in extra.items():
        for value in values or ():
            headers.add(f"Impersonate-Extra-{quote(str(name), safe=HEADER_SAFE)}", str(value))


def build_tls(access: Access, got: Mapping[str, Any]) -> ssl.SSLContext | None:
    """The context of TLS; None for a server without it.

    Args:
        access: The context of the kubeconfig.
        got: What a credential plugin gave: `clientCertificateData`, `clientKeyData`.

    Raises:
        RefusedError: A certificate or key can't be used.
    """
    if not access.server.startswith("https:"):
        return None
    try:
        authority = access.read_bytes("certificate-authority")
        tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
        if access.cluster.get("insecure-skip-tls-verify"):
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
            urllib3.disable_warnings(
                urllib3.exceptions.InsecureRequestWarning
            )  # as kubectl, which does not warn either
        given = [str(got.get(name) or "").encode() for name in ("clientCertificateData", "clientKeyData")]
        certificate, key = (
            given[0] or access.read_bytes("client-certificate"),
            given[1] or access.read_bytes("client-key"),
        )
        if certificate and key:
            _load_pair(tls, certificate, key)
    except (ssl.SSLError, ValueError) as error:
        raise RefusedError(f"A certificate or key of the context {access.context} can't be used: {error}") from None
    return tls


def _load_pair(tls: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Python reads them from files only; these are gone when it returns."""
    folder = Path(tempfile.mkdtemp(prefix="kubectl-connectors-"))  # readable by this user alone
    try:
        (folder / "pair.pem").write_bytes(certificate + b"\n" + key)
        tls.load_cert_chain(folder / "pair.pem")
    finally:
        shutil.rmtree(folder)


def run_plugin(access: Access) -> Mapping[str, Any]:
    """The credentials that the kubeconfig's credential plugin gives.

    Raises:
        RefusedError: It is not installed, fails, or gives none.
    """
    plugin = access.user["exec"]
    command = str(plugin.get("command") or "")
    program = str((access.folder / command).absolute()) if os.sep in command else command
    spec: dict[str, Any] = {"interactive": sys.stdin.isatty() and plugin.get("interactiveMode") != "Never"}
    if plugin.get("provideClusterInfo"):
        names = ("server", "certificate-authority-data", "tls-server-name", "insecure-skip-tls-verify", "proxy-url")
        spec["cluster"] = {name: access.cluster[name] for name in names if name in access.cluster}
    asked = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
    given = {str(each["name"]): str(each["value"]) for each in plugin.get("env") or []}
    environment = {**os.environ, **given, "KUBERNETES_EXEC_INFO": json.dumps(asked)}
    arguments = [program, *map(str, plugin.get("args") or [])]
    try:
        done = subprocess.run(
            arguments,
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
            stdin=None if spec["interactive"] else subprocess.DEVNULL,
        )
        status: Mapping[str, Any] = json.loads(done.stdout)["status"]
    except FileNotFoundError:
        hint = str(plugin.get("installHint") or "").strip()
        raise RefusedError(f"The kubeconfig's credential plugin {command} is not installed. {hint}".rstrip()) from None
    except subprocess.CalledProcessError as error:
        raise RefusedError(
            f"The kubeconfig's credential plugin {command} has failed with exit code {error.returncode}: log in again."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"The kubeconfig's credential plugin {command} gives no credentials: {error!r}") from None
    return status


def find_proxy(access: Access, environment: Mapping[str, str]) -> str:
    """The proxy towards the API server: of the kubeconfig, else of the environment; "" for none.

    Raises:
        RefusedError: It is of a kind that is not supported.
    """
    proxy = str(access.cluster.get("proxy-url") or "")
    proxy = proxy or find_environment_proxy(access.server, environment)
    if proxy and urlsplit(proxy).scheme not in {"http", "https"}:
        raise RefusedError(
            f"The proxy {proxy} towards {access.server} is of a kind that is not supported here: use http or https."
        )
    return proxy
