"""Dispatch metadata."""

import json
import traceback
from dataclasses import replace

import pytest

from baton import (
    METADATA_BYTES_MAX,
    CallId,
    DispatchBinding,
    DispatchMetadata,
    Identity,
    IncompleteMetadataError,
    MetadataError,
    MetadataNotJsonError,
    MetadataTooLargeError,
    NotFromBatonError,
    SpecialistName,
    Ticket,
)

METADATA = DispatchMetadata(
    baton=DispatchBinding(
        call=CallId("call-17"),
        ticket=Ticket("7d1f0c3e5a"),
        orchestrator=Identity("baton-AJ_1"),
        specialist=SpecialistName("billing"),
    ),
    metadata={"tenant": "acme"},
)


def test_metadata_is_read_as_it_was_written() -> None:
    text = METADATA.to_json()
    assert DispatchMetadata.parse(text) == METADATA
    assert json.loads(text) == {
        "baton": {
            "call": "call-17",
            "ticket": "7d1f0c3e5a",
            "orchestrator": "baton-AJ_1",
            "specialist": "billing",
        },
        "metadata": {"tenant": "acme"},
    }
    assert "metadata" not in json.loads(replace(METADATA, metadata=None).to_json())


def test_a_newer_batons_fields_are_ignored() -> None:
    text = (
        '{"baton":{"call":"call-17","ticket":"7d1f0c3e5a","orchestrator":"baton-AJ_1","specialist":"billing","new":1},'
        '"metadata":{"tenant":"acme"},"new":2}'
    )
    assert DispatchMetadata.parse(text) == METADATA


@pytest.mark.parametrize("text", ["hello", "{", "NaN", "[" * 50_000, '{"baton":' + "9" * 5_000 + "}"])
def test_what_is_no_json_is_told(text: str) -> None:
    with pytest.raises(MetadataNotJsonError, match="^the dispatch's metadata is no json: "):
        DispatchMetadata.parse(text)


@pytest.mark.parametrize("text", ["{}", "[]", "null", '"baton"', '{"metadata":1}'])
def test_jobs_of_others_are_told_apart(text: str) -> None:
    with pytest.raises(NotFromBatonError, match="not dispatched by Baton"):
        DispatchMetadata.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"baton":null}',
        '{"baton":{}}',
        '{"baton":7}',
        '{"baton":{"call":"c","ticket":"","orchestrator":"o","specialist":"s"}}',
        '{"baton":{"call":"c","ticket":"t","orchestrator":"o"}}',
    ],
)
def test_what_baton_must_write_must_be_there(text: str) -> None:
    with pytest.raises(IncompleteMetadataError, match="call, ticket, orchestrator and specialist"):
        DispatchMetadata.parse(text)


def test_long_metadata_is_refused() -> None:
    long = replace(METADATA, metadata="x" * METADATA_BYTES_MAX)
    with pytest.raises(MetadataTooLargeError, match="the limit is 65536"):
        long.to_json()
    # Bytes count, not characters.
    with pytest.raises(MetadataTooLargeError):
        DispatchMetadata.parse("ü" * (METADATA_BYTES_MAX // 2 + 1))


def test_what_is_no_json_is_not_written() -> None:
    with pytest.raises(MetadataNotJsonError):
        replace(METADATA, metadata=object()).to_json()
    with pytest.raises(MetadataNotJsonError):
        replace(METADATA, metadata=float("nan")).to_json()


@pytest.mark.parametrize(
    "text",
    [
        '{"baton":{"call":1,"ticket":"7d1f0c3e5a","orchestrator":"o","specialist":"s"}}',
        '{"baton":{"call":"c","ticket":"7d1f0c3e5a","orchestrator":"o","specialist":"s"}',
    ],
)
def test_a_ticket_shows_in_no_message(text: str) -> None:
    assert "7d1f" not in f"{METADATA!r} {METADATA.baton.ticket}"
    with pytest.raises(MetadataError) as caught:
        DispatchMetadata.parse(text)
    assert "7d1f" not in "".join(traceback.format_exception(caught.value))
    # Nor does an error that carries the text hang on it.
    assert caught.value.__context__ is None
