"""Which photos look like a given one: the pipeline as far as retrieval, then queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import Config
from sfm.errors import WorkspaceError
from sfm.ingest import require_photos
from sfm.pairs.pair_states import known_edges, pair_states
from sfm.pairs.photo_index import open_index
from sfm.pairs.queries import SearchResult, answer_queries
from sfm.pairs.query_files import QueryFiles
from sfm.pipelines.run import photo_session
from sfm.report.contact_sheet import write_contact_sheet
from sfm.stages.session import SILENT, AnyPath, PhotoSession
from sfm.stages.stages import ingested, with_features
from sfm.workspace.progress import Progress


def search(
    photos: AnyPath,
    queries: Sequence[str],
    *,
    output: AnyPath,
    top: int = 20,
    config: Config | None = None,
    progress: Progress = SILENT,
) -> SearchResult:
    """Rank the photos of a folder by how much they look like others; nothing is matched.

    Args:
        photos: folder of photos, as for `run`.
        queries: each the name of one of the photos, the last part of its name, or the path of any photo.
        output: workspace, where descriptors and the index are kept; receives `query.html`.
        top: photos that are looked for, a query.
        config: all options; None takes the defaults. Where they differ from those of an earlier run of the
            same output, results of that run are computed again, except matched pairs.
        progress: receives the progress of each stage.

    Returns:
        The photos found and the contact sheet.

    Raises:
        InputError: a query that is neither a sound photo nor the name of one; and as `run`.
        WorkspaceError: features of these options would drop the matched pairs of the output; and as `run`.
    """
    source, given = Path(photos), list(dict.fromkeys(map(str, queries)))
    config = config or Config()
    require_photos(source)
    with photo_session(source, Path(output), config, progress) as session:
        space, options = session.workspace, session.config
        with QueryFiles.opened(given, source, options.images, session.threads) as files:
            collection = ingested(session, source)
            asked = files.resolve(given, collection)
            _refuse_to_drop_matches(session)
            collection, database = with_features(session, collection)
            with session.stage("retrieve"):
                index = open_index(
                    collection,
                    database,
                    cache_dir=space.cache,
                    backend=session.backend,
                    config=options.retrieval,
                    seed=options.run.seed,
                )
                pairs = pair_states(known_edges(space.root), database.pairs(), collection.names)
                answers = answer_queries(
                    asked,
                    files=files,
                    index=index,
                    backend=session.backend,
                    collection=collection,
                    pairs=pairs,
                    cache_dir=space.cache,
                    top=top,
                )
            num_photos = len(collection.photos)
            sheet = write_contact_sheet(
                space.root, answers, num_photos=num_photos, top=top, has_graph=bool(pairs)
            )
            return SearchResult(tuple(answers), sheet, num_photos)


def _refuse_to_drop_matches(session: PhotoSession) -> None:
    """A question must not cost the answer to an earlier one, which may have taken hours."""
    space = session.workspace
    if not space.database.exists():
        return
    database, wanted = FeatureDatabase(space.database), asdict(session.backend.keys())
    stored = database.stage_keys()
    is_other = any(stored.get(stage, key) != key for stage, key in wanted.items())
    if is_other and (count := len(database.matched_pairs())):
        raise WorkspaceError(
            f"{space.root} holds {count} matched pairs of other options; a search with these would drop them",
            hint="leave out the options, or name those of the run that matched them; or give another -o OUT",
        )
