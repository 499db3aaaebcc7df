"""One address for several worker pools: each connection goes to the next of them.

Stands where a cluster has a service in front of its pods.

    python -m cluster.balancer PORT HOST:PORT HOST:PORT …
"""

import asyncio
import contextlib
import itertools
import sys


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await source.read(1 << 16):
            sink.write(block)
            await sink.drain()
    sink.close()


async def serve(port: int, targets: list[str]) -> None:
    """Serve until the process ends; a target that does not answer is passed over."""
    turns = itertools.cycle(targets)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in targets:
            host, _, at = next(turns).rpartition(":")
            with contextlib.suppress(OSError):
                there, to = await asyncio.open_connection(host, int(at))
                await asyncio.gather(_copy(reader, to), _copy(there, writer))
                return
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2:]))
