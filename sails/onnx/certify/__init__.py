"""The proof that an ONNX model answers like its original."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.onnx.certify.certificate import Certificate, Speed, read_certificate, read_content
    from sails.onnx.certify.questions import FIXED_PROMPTS
    from sails.onnx.certify.report import (
        CERTIFICATE_PAGE,
        certificate_checks,
        certificate_files,
        certificate_title,
        write_certificate,
    )
    from sails.onnx.certify.verify import verify_model

__getattr__, __all__ = lazy_exports(__name__)
