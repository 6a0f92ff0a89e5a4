"""One data packet: the header of a frame and its body, to bytes and back."""

from dataclasses import dataclass

from google.protobuf.message import DecodeError as GeneratedDecodeError

from baton import convert
from baton.bodies import Body, Position, Version
from baton.errors import BatonError
from baton.ids import CallId, Epoch, Seq, StreamId
from baton.reasons import RejectReason
from baton.v1 import envelope_pb2

TOPIC = "baton"
"""The topic of every data packet of the protocol."""

FRAME_BYTES_MAX = 14_999
"""The largest frame, in bytes: LiveKit recommends less than 15,000, so that a packet is not split."""

VERSION = Version(1, 0)
"""The version spoken here."""


class DecodeError(BatonError):
    """Bytes are no frame."""

    reject_reason = RejectReason.MALFORMED
    """The reason as it is told to the sender."""


class FrameTooLargeError(DecodeError):
    """The packet is too large."""

    reject_reason = RejectReason.TOO_LARGE

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes, the limit is {FRAME_BYTES_MAX}")
        self.size = size
        """Its size, in bytes."""


class MalformedError(DecodeError):
    """The bytes are not what they should be."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"no valid frame: {detail}")
        self.detail = detail
        """What is wrong."""


class UnsupportedVersionError(DecodeError):
    """The sender speaks another major version."""

    reject_reason = RejectReason.UNSUPPORTED_VERSION

    def __init__(self, got: Version) -> None:
        super().__init__(f"protocol version {got}, only major version {VERSION.major} is understood")
        self.got = got
        """What the frame says."""


class UnknownBodyError(DecodeError):
    """A body that came in pieces is one of a newer minor version."""

    reject_reason = RejectReason.UNKNOWN_BODY

    def __init__(self) -> None:
        super().__init__("the body is unknown here")


class EncodeError(BatonError):
    """A value does not fit its field: a number out of range, a text that is none, another type."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(f"{what} cannot be encoded: {detail}")


@dataclass(frozen=True, slots=True)
class Frame:
    """What travels in one data packet."""

    version: Version
    """The version the sender speaks."""
    call: CallId
    """The call it belongs to."""
    epoch: Epoch
    """The epoch in which the sender believes the call to be."""
    stream: StreamId
    """The sender's stream."""
    seq: Seq | None
    """Its place in the stream; `None` if it is not sequenced."""
    ack: Position | None
    """What the sender has seen of the receiver's stream."""
    body: Body | None
    """What it says; `None` if it only carries an ack. A sequenced frame without a body had one that is unknown here."""

    def encode(self) -> bytes:
        """The frame as bytes. Whether they are few enough is the caller's to check; a `Link` does.

        Raises `EncodeError`.
        """
        message = envelope(self.version, self.call, self.epoch, self.stream, self.seq, self.ack, self.body)
        return message.SerializeToString()

    @classmethod
    def decode(cls, data: bytes) -> "Frame":
        """Reads a frame. Raises `DecodeError`, and nothing else whatever the bytes are."""
        if len(data) > FRAME_BYTES_MAX:
            raise FrameTooLargeError(len(data))
        message, version = _parse(data)
        if message.stream == 0:
            raise MalformedError("its stream is 0")
        try:
            body = convert.read_body(message)
        except convert.MissingError as error:
            if message.seq == 0:
                raise MalformedError(str(error)) from error
            # Refused, a part of a stream would be sent again for ever, and hold up what follows.
            body = None
        return cls(
            version=version,
            call=CallId(message.call_id),
            epoch=Epoch(message.epoch),
            stream=StreamId(message.stream),
            seq=Seq(message.seq) if message.seq else None,
            ack=convert.read_position(message.ack) if message.HasField("ack") else None,
            body=body,
        )


def envelope(
    version: Version,
    call: CallId,
    epoch: Epoch,
    stream: StreamId,
    seq: Seq | None,
    ack: Position | None,
    body: Body | None,
) -> envelope_pb2.Envelope:
    """A frame in its generated form. Internal. Raises `EncodeError`."""
    try:
        message = envelope_pb2.Envelope(
            version=convert.version_message(version),
            call_id=call,
            epoch=epoch,
            stream=stream,
            seq=seq or 0,
            ack=None if ack is None else convert.position_message(ack),
        )
        if body is not None:
            convert.write_body(body, message)
    except (TypeError, ValueError, AttributeError, GeneratedDecodeError) as error:
        what = "the frame" if body is None else getattr(body, "NAME", type(body).__name__)
        raise EncodeError(what, str(error)) from error
    return message


def encode_body(body: Body) -> bytes:
    """A body that travels in pieces: an envelope with a version and nothing else beside it. Internal.

    Raises `EncodeError`.
    """
    return envelope(VERSION, CallId(""), Epoch(0), StreamId(0), None, None, body).SerializeToString()


def decode_body(data: bytes) -> Body:
    """Reads a body that has come in pieces. Internal. Raises `DecodeError`."""
    message, _ = _parse(data)
    try:
        body = convert.read_body(message)
    except convert.MissingError as error:
        raise UnknownBodyError from error
    if body is None:
        raise UnknownBodyError
    return body


def _parse(data: bytes) -> tuple[envelope_pb2.Envelope, Version]:
    try:
        message = envelope_pb2.Envelope.FromString(data)
    except GeneratedDecodeError as error:
        raise MalformedError(str(error)) from error
    if not message.HasField("version"):
        raise MalformedError("it has no version")
    version = convert.read_version(message.version)
    if version.major != VERSION.major:
        raise UnsupportedVersionError(version)
    return message, version
