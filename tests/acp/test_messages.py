import pytest

from session_widgets.acp import PermissionRequest, classify, messages, permissions, protocol
from session_widgets.errors import ProtocolError


def update(value: object) -> dict:
    return {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": value}}


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (update({"sessionUpdate": "usage_update", "used": None}), ("session/update", "usage_update")),
        ({"id": 0, "method": "session/request_permission"}, ("session/request_permission", "request")),
        ({"id": None, "method": "x"}, ("x", "request")),
        ({"method": "_adapter/agent_exited"}, ("_adapter/agent_exited", "notification")),
        ({"id": "a", "result": None}, ("session/prompt", "response")),
        ({"id": "a", "error": {}}, ("session/prompt", "error")),
        ({"id": "b", "result": {}}, (None, "response")),
        ({"id": 1, "result": {}}, (None, "response")),
    ],
)
def test_names_of_envelopes(message: dict, named: tuple):
    assert classify(message, {"a": "session/prompt", "1": "session/new"}) == named


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"method": 5},
        {"id": {}, "method": []},
        {"id": [1]},
        update(None),
        update([1]),
        update({"sessionUpdate": {}}),
        update({"sessionUpdate": "x" * 1000}),
        update({"sessionUpdate": "<script>"}),
        {"method": "session/update"},
        {"method": "session/update", "params": "text"},
    ],
)
def test_what_is_no_acp_is_a_notification(message: dict):
    assert classify(message, {})[1] == "notification"


def test_a_hostile_id_of_a_response_belongs_to_nothing():
    assert classify({"id": {"a": 1}, "result": 1}, {"a": "x"}) == (None, "response")


def test_answers_carry_the_id_as_it_came():
    for id_ in (0, "0", None, "a-b"):
        asked = {"id": id_, "method": "fs/read_text_file"}
        assert messages.result(asked, {})["id"] == id_
        assert messages.error(asked, messages.METHOD_NOT_FOUND, "no")["id"] == id_


def permission(options: object, tool_call: object) -> dict:
    return {
        "id": 0,
        "method": "session/request_permission",
        "params": {"options": options, "toolCall": tool_call},
    }


def test_permission_options_that_cannot_be_chosen_are_left_out():
    options = [
        {"optionId": "no", "name": "Reject", "kind": "reject_once"},
        {"name": "No id", "kind": "allow_once"},
        {"optionId": 5, "name": "Number", "kind": "allow_once"},
        "text",
        {"optionId": "yes", "kind": "allow_once"},
    ]
    request = PermissionRequest.parse(permission(options, {"title": "Edit", "kind": "edit", "toolCallId": "t"}))
    assert [(o.id, o.name, o.kind) for o in request.options] == [
        ("no", "Reject", "reject_once"),
        ("yes", "yes", "allow_once"),
    ]
    assert (request.title, request.tool_kind) == ("Edit", "edit")
    assert permissions.selected(request.options[1]) == {"outcome": {"outcome": "selected", "optionId": "yes"}}
    assert permissions.cancelled() == {"outcome": {"outcome": "cancelled"}}


def test_a_permission_request_may_say_nothing_about_its_tool():
    request = PermissionRequest.parse(permission([], {"title": 5}))
    assert (request.title, request.tool_kind, request.options) == ("", None, ())


@pytest.mark.parametrize("message", [{"id": 0}, permission(None, {}), permission([], None), {"id": 0, "params": [1]}])
def test_a_permission_request_without_substance_is_refused(message: dict):
    with pytest.raises(ProtocolError, match="asked for permission"):
        PermissionRequest.parse(message)


def test_a_connection_speaks_one_version():
    assert protocol.initialize_params("1.2.3")["protocolVersion"] == protocol.VERSION == 1
    protocol.check_version({"protocolVersion": 1})
    protocol.check_version({})
    for other in (2, "1", None):
        with pytest.raises(ProtocolError, match=f"speaks version {other!r} of ACP"):
            protocol.check_version({"protocolVersion": other})
