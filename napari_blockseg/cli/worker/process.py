"""The worker process from its first line to its last."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

from napari_blockseg import __version__
from napari_blockseg.cli.worker.channel import Channel, EndOfInput, take_over_standard_streams


def run_worker() -> None:
    """Serve one client until it says `shutdown` or goes away; does not return.

    Notes
    -----
    Leaves by ``os._exit``: a compute library's own shutdown may hang or crash, and everything worth
    keeping is on disk by then.
    """
    # First of all: what a library prints while it is imported must not reach the protocol.
    channel = take_over_standard_streams()
    # Ctrl-C in the client's terminal reaches the whole group; the client decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = 1
    try:
        code = _serve(channel)
    except EndOfInput:
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _serve(channel: Channel) -> int:
    from napari_blockseg.cli.worker.messages import PROTOCOL, Hello, parse_request
    from napari_blockseg.core.errors import BlockSegError

    line = channel.receive(wait=True) or ""
    number = None
    try:
        hello = parse_request(line)
        number = hello.id
        if not isinstance(hello, Hello):
            raise BlockSegError(f"Got {hello.type!r} as the first request; it must be 'hello'.")
        if hello.protocol != PROTOCOL:
            raise BlockSegError(
                f"Got protocol {hello.protocol}; this worker (version {__version__}) speaks "
                f"{PROTOCOL}. Install the same version of napari-blockseg for both."
            )
    except BlockSegError as error:
        number = getattr(error, "id", number)
        channel.send({"id": number, "type": "error", "message": str(error), "kind": "WorkerError"})
        return 1
    channel.send(
        {
            "id": hello.id,
            "type": "hello",
            "protocol": PROTOCOL,
            "version": __version__,
            "pid": os.getpid(),
            "devices": likely_devices(),
        }
    )
    # Imported after the greeting: it takes seconds, and the client need not wait for it.
    _leave_a_core_free()
    _give_way()
    from napari_blockseg.cli.worker.jobs import Workbench
    from napari_blockseg.cli.worker.scheduler import Scheduler

    bench = Workbench()
    Scheduler(
        channel,
        bench.train,
        bench.interactive,
        bench.predict,
        bench.features,
        bench.analyse,
        bench.suggest,
        bench.look,
        bench.stopped_report,
    ).run()
    return 0


def _leave_a_core_free() -> None:
    """Compute with all cores but one: the last one draws the GUI."""
    import torch

    threads = max(1, usable_cores() - 1)
    torch.set_num_threads(min(threads, torch.get_num_threads()))


def _give_way() -> None:
    """Take second place when the machine is short of cores: strokes come before steps."""
    import psutil

    own = psutil.Process()
    try:
        own.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if os.name == "nt" else own.nice() + 5)
    except (psutil.Error, OSError):
        return  # not allowed here; it only costs smoothness


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def likely_devices() -> list[str]:
    """Return the devices this machine seems to have, without importing torch."""
    devices = ["cpu"]
    if Path("/dev/nvidiactl").exists() or os.environ.get("CUDA_PATH"):
        devices.append("cuda")
    if sys.platform == "darwin" and os.uname().machine == "arm64":
        devices.append("mps")
    return devices
