"""``springtui resume``: take a run up again where it was left."""

from __future__ import annotations

import click

from engine.errors import ConfigError
from engine.runs.directory import Run
from engine.runs.listing import find_run
from engine.settings.chain import ChainConfig
from engine.settings.probe import ProbeConfig
from engine.settings.sweep import SweepConfig

from ..state.run_state import RunState
from .foreground import run_here
from .options import executor_option, json_option, run_argument
from .output import print_json, print_line
from .session import Session, common, examples


@click.command(
    short_help="Resume a run from its checkpoint.",
    epilog=examples(
        "springtui resume last",
        "springtui resume last --detach",
        "springtui resume 20260101-120000-train-1a2b3c --json",
    ),
)
@run_argument
@executor_option
@click.option("--detach", is_flag=True, help="Resume in a separate process that outlives this terminal.")
@click.option("--force", is_flag=True, help="Resume although its last worker, on another host, may still be live.")
@json_option
@common
@click.pass_obj
def resume(session: Session, run: str, executor: str | None, detach: bool, force: bool, as_json: bool) -> int:
    """Resume a run here from its checkpoint, as if it had never stopped.

    RUN is an id or a name, a beginning of one that fits no other run, last, or a path. Prints what train,
    chain or sweep prints; with --detach --json: run, pid. A training of your own is resumed by your script.
    """
    found = find_run(session.look_home(), run)
    settings = found.config().settings
    found.require_worker_run()
    if executor is not None and not isinstance(settings, SweepConfig):
        raise ConfigError(f"{found.id} is no sweep; --executor says where a sweep's cells are made")
    if isinstance(settings, ProbeConfig):
        raise ConfigError(f"{found.id} is a probe of your own training, which goes on where your script does")
    found.require_free(force=force)
    if detach:
        return _detached(found, force=force, executor=executor, as_json=as_json)
    if isinstance(settings, SweepConfig):
        from .sweep import report as report_sweep

        return report_sweep(
            settings, _go_on(found, f"{settings.system}s", force=force, executor=executor), as_json=as_json
        )
    if isinstance(settings, ChainConfig):
        from .chain import report as report_chain

        return report_chain(_go_on(found, "step", force=force), as_json=as_json)
    from .train import report as report_training

    return report_training(_go_on(found, "epoch", force=force), as_json=as_json)


def _go_on(run: Run, unit: str, *, force: bool, executor: str | None = None) -> RunState:
    from engine.workers.work import work

    return run_here(run, lambda run: work(run, force=force, executor=executor), unit, new=False)


def _detached(run: Run, *, force: bool, executor: str | None, as_json: bool) -> int:
    from engine.runs.launch import launch

    process = launch(run, force=force, executor=executor)
    if as_json:
        print_json({"run": run.id, "pid": process.pid})
    else:
        print_line(f"{run.id} goes on, process {process.pid}; springtui runs shows how it stands")
    return 0
