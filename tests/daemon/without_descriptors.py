"""A head is fetched while the process has no file descriptor left, and once more afterwards.

A program of its own: the limit is the whole process's, and tests run beside each other.
"""

import os
import resource
import sys
from pathlib import Path

import anyio
import structlog
from daemon_house import Owner, open_house


async def main(root):
    owner = Owner()
    here = open_house(root, {"owner": owner})
    here.drop("a.md", "text")
    await here.engine.start()
    await here.engine.intake.scan()
    free = os.dup(0)
    os.close(free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    fetched = await here.engine.intake.fetch()
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    async with here.running():
        await here.delivered()
    here.close()
    sys.stdout.write(f"{fetched} then {owner.texts}\n")


structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
anyio.run(main, Path(sys.argv[1]))
