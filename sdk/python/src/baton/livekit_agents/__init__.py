"""Let an agent of LiveKit Agents take part in Baton's calls.

    from baton import livekit_agents as baton
    ...
    await baton.start(session, agent=Triage(), ctx=ctx)   # in place of session.start(agent=..., room=ctx.room)

`start` returns when the session runs, which is when Baton has the specialist prepare for the first time. Everything else
of the framework stays as it is.
"""

from baton.livekit_agents.session import Participation, start
from baton.livekit_agents.tool import handoff_tool
from baton.shared import Local, NotMirrorableError, StateFieldError

__all__ = ["Local", "NotMirrorableError", "Participation", "StateFieldError", "handoff_tool", "start"]
