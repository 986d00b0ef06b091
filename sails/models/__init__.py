"""Model folders on disk: the workspace, what a folder holds, publishing, versions, variants, base models."""

from typing import TYPE_CHECKING

from sails import lazy_exports

if TYPE_CHECKING:
    from sails.models.acts import ACTS, Act, describe_act, list_acts, note_act
    from sails.models.cache import base_model_path, ensure_base_model
    from sails.models.catalog import (
        DEFAULT_BASE_MODEL,
        BaseModelEntry,
        base_models,
        cache_dir,
        find_base_model,
        is_same_base,
        named_base_model,
    )
    from sails.models.export_record import EXPORT_RECORD, ExportRecord
    from sails.models.families import export_limits, exportable
    from sails.models.folder import (
        PROVENANCE,
        FoundFile,
        ModelState,
        Situation,
        found_files,
        inspect_model,
        tokenizer_digest,
    )
    from sails.models.foreign import foreign_model
    from sails.models.freshness import CERTIFIED, FRESHNESS, Freshness, refresh_advice
    from sails.models.journal import clear_leftovers, recover_folder, resolve, stage_path
    from sails.models.leftovers import Leftover, find_leftovers, remove_leftovers
    from sails.models.onnx_store import discard_failed, install, keep_failed, quarantine, recover_onnx
    from sails.models.publish import (
        Prospect,
        exclusive_training,
        has_export,
        models_at_rest,
        prospect,
        publish_model,
        roll_back,
        unpublish,
    )
    from sails.models.rescue import (
        JournalState,
        changes_cut_short,
        finish_change,
        keep_stranded,
        put_aside,
        record_version,
        stranded_models,
    )
    from sails.models.size import count_parameters, export_memory, training_memory
    from sails.models.variants import (
        CERTIFICATE,
        FULL_PRECISION,
        PREFERRED_TITLES,
        VARIANT_TABLE,
        VARIANT_TITLES,
        VARIANTS,
        Thresholds,
        Variant,
        VariantState,
        failed_folder,
        inspect_failed_variants,
        inspect_variant,
        inspect_variants,
        preferred_variant,
        variant_folder,
    )
    from sails.models.versions import (
        MAX_NAME_LENGTH,
        VERSION_ONNX,
        VERSION_RECORD,
        VERSIONS_KEPT,
        Provenance,
        Version,
        discard_version,
        list_versions,
        name_version,
        pin,
        provenance_of,
        prune_versions,
        version_with,
        versions_unlisted,
    )
    from sails.models.workspace import Workspace, check_output, create_workspace, new_id, workspaces_in

__getattr__, __all__ = lazy_exports(__name__)
