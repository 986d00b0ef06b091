"""The proof that an ONNX model answers like its original."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.onnx.certify.certificate import Certificate, Speed, certificate_from, read_certificate
    from sails.onnx.certify.report import (
        CERTIFICATE_PAGE,
        Check,
        certificate_checks,
        certificate_title,
        write_certificate,
    )
    from sails.onnx.certify.verify import FIXED_PROMPTS, verify_model

__all__ = [
    "CERTIFICATE_PAGE",
    "FIXED_PROMPTS",
    "Certificate",
    "Check",
    "Speed",
    "certificate_checks",
    "certificate_from",
    "certificate_title",
    "read_certificate",
    "verify_model",
    "write_certificate",
]

__getattr__ = lazy_exports(__name__)
