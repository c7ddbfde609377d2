"""Certificates for servers of tests."""

import subprocess
from pathlib import Path

LOCALHOST = "DNS:localhost,IP:127.0.0.1"


def certificate(
    folder: Path, name: str, names: str = LOCALHOST, subject: str = "/CN=localhost"
) -> tuple[Path, Path]:
    """A self-signed certificate for some names, localhost when not given, and its key."""
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", subject, "-addext", f"subjectAltName={names}",
            "-keyout", str(key), "-out", str(cert),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key


def expire(cert: Path, key: Path) -> None:
    """Signs a certificate anew, as one that ends at once."""
    signed = cert.with_suffix(".new")
    words = ("-in", str(cert), "-signkey", str(key), "-days", "0", "-out", str(signed))
    subprocess.run(["openssl", "x509", *words], check=True, capture_output=True)
    signed.replace(cert)
