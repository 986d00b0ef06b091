"""ONNX models: `export`, `quantize` and `certify` make and prove them with torch; `runtime` answers alone."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.onnx.bundle import (
        DOWNLOADS,
        check_room_for_sending,
        choose_for_bundle,
        download_of,
        make_bundle,
        make_bundle_folder,
        make_download,
    )
    from sails.onnx.convert import ConversionOrder, convert_model
    from sails.onnx.export import MAX_OPSET, MIN_OPSET, export_model
    from sails.onnx.model_card import about
    from sails.onnx.quantize import quantize_model
    from sails.onnx.runtime.chat_encoder import (
        ChatEncoder,
        TaughtAnswer,
        default_chat_template,
        with_whole_prompt,
    )
    from sails.onnx.runtime.chat_template import (
        DEFAULT_CHAT_TEMPLATE,
        ChatTemplate,
        Messages,
        special_tokens,
    )
    from sails.onnx.runtime.generate import Generator, Stream
    from sails.onnx.runtime.options import Sampling, SamplingOptions, sampling_options
    from sails.onnx.runtime.thoughts import answer_in
    from sails.onnx.runtime.tokenizer import Reader, read_settings, read_template, room_for_prompt

__getattr__, __all__ = lazy_exports(__name__)
