"""The runner of async tests notices what a test leaves behind."""

import asyncio

import pytest

from tests.support.needs import needs
from tests.support.running import Leftovers, run_async

pytestmark = pytest.mark.once


def test_a_coroutine_is_run_with_its_arguments():
    seen = []

    async def body(value):
        await asyncio.sleep(0)
        seen.append(value)

    run_async(body, {"value": 3})

    assert seen == [3]


def test_a_failing_assertion_comes_out():
    async def body():
        raise AssertionError("inside")

    with pytest.raises(AssertionError, match="inside"):
        run_async(body, {})


def test_a_test_that_hangs_is_ended():
    async def body():
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run_async(body, {}, seconds=0.01)


def test_a_leaked_task_fails_the_test():
    tasks = []

    async def body():
        tasks.append(asyncio.create_task(asyncio.sleep(60), name="forgotten"))

    with pytest.raises(Leftovers, match=r"leaked task.*forgotten"):
        run_async(body, {})


def test_a_task_that_is_being_cancelled_is_not_leaked():
    async def body():
        task = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel()

    run_async(body, {})


def test_an_exception_nobody_looked_at_fails_the_test():
    async def body():
        future = asyncio.get_running_loop().create_future()
        future.set_exception(ValueError("lost"))

    with pytest.raises(Leftovers, match="lost"):
        run_async(body, {})


def test_an_exception_in_a_callback_fails_the_test():
    def callback():
        raise ValueError("in a callback")

    async def body():
        asyncio.get_running_loop().call_soon(callback)
        await asyncio.sleep(0)

    with pytest.raises(Leftovers, match="in a callback"):
        run_async(body, {})


async def test_async_tests_get_their_fixtures(certificates):
    assert certificates.ca_file.is_file()


def test_something_missing_skips_with_how_to_get_it(monkeypatch):
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="needs nonesuch: pip install"):
        needs("nonesuch")


def test_something_missing_fails_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="needs nonesuch"):
        needs("nonesuch")
