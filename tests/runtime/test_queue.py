import asyncio

from aod.runtime.queue import Queue


async def received(channel: Queue[int]) -> list[int]:
    async with asyncio.timeout(5):
        return [item async for item in channel]


async def test_items_arrive_in_order_and_the_close_ends_them() -> None:
    channel: Queue[int] = Queue(10)
    for item in range(3):
        channel.send(item)
    channel.close()

    assert await received(channel) == [0, 1, 2]


async def test_a_full_channel_drops_the_oldest_and_counts_it() -> None:
    channel: Queue[int] = Queue(2)
    for item in range(5):
        channel.send(item)
    channel.close()

    assert await received(channel) == [3, 4]
    assert channel.dropped == 3


async def test_what_comes_after_the_close_is_counted() -> None:
    channel: Queue[int] = Queue(2)
    channel.close()

    channel.send(1)

    assert await received(channel) == []
    assert channel.dropped == 1


async def test_a_waiting_receiver_is_woken() -> None:
    channel: Queue[int] = Queue(2)

    async with asyncio.TaskGroup() as tasks:
        receiver = tasks.create_task(received(channel), name="receiver")
        await asyncio.sleep(0)
        channel.send(7)
        await asyncio.sleep(0)
        channel.close()

    assert receiver.result() == [7]


async def test_what_waits_can_be_dropped_and_is_counted() -> None:
    channel = Queue[int](10)
    for number in range(3):
        channel.send(number)

    channel.clear()
    channel.close()

    assert [item async for item in channel] == []
    assert channel.dropped == 3


async def test_each_item_that_is_dropped_is_told() -> None:
    dropped: list[int] = []
    channel: Queue[int] = Queue(2, dropped.append)

    for item in range(3):
        channel.send(item)
    channel.clear()
    channel.close()
    channel.send(3)

    assert dropped == [0, 1, 2, 3]
    assert channel.dropped == 4
