#!/usr/bin/env python3
"""Sessions by WHIP, one after the other, each until its first prediction. Prints the seconds from POST of each as JSON.

Usage: aiortc_churn.py URL PIPELINE COUNT
"""

import asyncio
import sys
import time

import aiohttp
from aiortc_whip import Client, say

LIMIT_SECONDS = 30


async def first_prediction(http, url):
    async with http.get(url) as response:
        async for line in response.content:
            if line.startswith(b"event:") and b"prediction" in line:
                return
    raise SystemExit(f"{url} ended without a prediction")


async def once(http, base, pipeline):
    client = Client(http)
    answered = await client.publish(f"{base}/whip/{pipeline}")
    session = client.location.rsplit("/", 1)[1]
    await first_prediction(http, f"{base}/api/v1/sessions/{session}/predictions")
    # From POST on: what came before is the client's own work.
    predicted = time.monotonic() - client.posted
    await client.close()
    say(answered=answered, predicted=predicted)


async def main(base, pipeline, count):
    # No limit for a whole stream, and a connection for each request: pooled ones hide what a new client sees.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        for _ in range(int(count)):
            await asyncio.wait_for(once(http, base, pipeline), LIMIT_SECONDS)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
