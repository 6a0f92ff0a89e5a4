"""How the workers of these tests serve."""

from livekit.agents import AgentServer, JobExecutorType


def serving() -> AgentServer:
    """Each call is a thread, none is started before it is needed, and any port will do."""
    return AgentServer(
        job_executor_type=JobExecutorType.THREAD,
        num_idle_processes=0,
        host="127.0.0.1",
        port=0,
        # By default a worker on a busy machine gets no calls.
        load_fnc=lambda: 0.0,
    )
