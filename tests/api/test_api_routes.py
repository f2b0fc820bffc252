"""Every route, asked as a caller asks it."""

import json

import pytest

from ownerreportd.core.errors import ConfigError, NotFoundError, StorageError

MARKDOWN = {"Content-Type": "text/markdown"}


def assert_problem(answer, status, kind):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content = answer.json()
    assert content["type"] == f"urn:ownerreportd:error:{kind}"
    assert content["status"] == status
    assert {"title", "detail", "hint"} <= content.keys()
    return content


async def test_a_put_report_is_created_once_and_known_the_second_time(client, daemon):
    first = await client.put("/v1/reports/r-1", content="# hello", headers=MARKDOWN)
    assert (first.status_code, first.headers["location"]) == (201, "/v1/reports/r-1")
    assert first.json()["state"] == "waiting"
    assert first.headers["ownerreportd-version"] == "9.9.9"
    again = await client.put("/v1/reports/r-1", content="# hello", headers=MARKDOWN)
    assert again.status_code == 200
    other = await client.put("/v1/reports/r-1", content="# other", headers=MARKDOWN)
    assert_problem(other, 409, "id_conflict")
    assert daemon.bodies == {"r-1": b"# hello"}


async def test_a_posted_file_gets_an_id_and_a_location(client, daemon):
    answer = await client.post("/v1/reports", content="一份報告", headers=MARKDOWN)
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/reports/made-1")
    assert daemon.bodies["made-1"].decode() == "一份報告"


async def test_posted_fields_become_a_report(client, daemon):
    fields = {
        "team": "t", "worker": "w", "task_id": "007", "done": "甲", "next": "乙",
        "to": ["owner"], "created": "now", "unknown": 5,
    }  # fmt: skip
    answer = await client.post("/v1/reports", json=fields)
    assert answer.status_code == 201
    assert daemon.bodies["made-1"].decode() == (
        "---\nteam: t\nworker: w\ntask_id: 007\ncreated: now\nto: [owner]\n---\n"
        "**Done** 甲\n\n**Next** 乙\n"
    )


async def test_posted_fields_speak_the_configured_language(serve, path, daemon):
    import httpx

    await serve(language="zh-TW")
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.post("/v1/reports", json={"done": "甲"})
    assert daemon.bodies["made-1"].decode().endswith("**完成** 甲\n")


async def test_every_wrong_field_is_told_at_once(client, daemon):
    answer = await client.post("/v1/reports", json={"team": 5, "done": ["x"], "to": [1]})
    content = assert_problem(answer, 422, "invalid_input")
    assert content["errors"] == [
        {"pointer": "/team", "message": "must be a string"},
        {"pointer": "/done", "message": "must be a string"},
        {"pointer": "/to", "message": "must be a list of destination names"},
    ]
    assert daemon.store == []


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100_000, b'"x"', b""])
async def test_a_body_that_is_no_json_object_is_refused(client, body):
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/v1/reports", content=body, headers=headers)
    assert_problem(answer, 422, "invalid_input")


async def test_half_a_surrogate_pair_is_a_mistake_with_its_place(client):
    answer = await client.post(
        "/v1/reports",
        content=rb'{"title": "\ud800"}',
        headers={"Content-Type": "application/json"},
    )
    assert assert_problem(answer, 422, "invalid_input")["errors"][0]["pointer"] == "/title"


async def test_fields_without_any_text_are_no_report(client):
    assert_problem(await client.post("/v1/reports", json={"team": ""}), 422, "invalid_report")


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/markdown; charset=big5"]
)
async def test_a_body_of_another_type_is_refused(client, kind):
    for method, url in (("PUT", "/v1/reports/a"), ("POST", "/v1/reports")):
        answer = await client.request(method, url, content="x", headers={"Content-Type": kind})
        assert_problem(answer, 415, "unsupported_type")


@pytest.mark.parametrize("report_id", ["a b", "a" * 65, "%E4%B8%80", "a%0A"])
async def test_an_id_that_cannot_be_one_is_refused(client, report_id):
    answer = await client.put(f"/v1/reports/{report_id}", content="x", headers=MARKDOWN)
    assert assert_problem(answer, 422, "invalid_input")["errors"][0]["pointer"] == "/id"


async def test_an_empty_report_is_refused_with_a_hint(client):
    answer = await client.put("/v1/reports/a", content="", headers=MARKDOWN)
    assert assert_problem(answer, 422, "invalid_report")["hint"] == "write something"


async def test_the_list_is_oldest_first_and_goes_on_where_it_ended(client, daemon):
    for number in range(5):
        daemon.add(f"r-{number}", "sent" if number == 0 else "waiting")
    page = (await client.get("/v1/reports?state=waiting&limit=2")).json()
    assert [r["id"] for r in page["reports"]] == ["r-1", "r-2"]
    rest = await client.get("/v1/reports", params={"after": page["next_after"]})
    assert [r["id"] for r in rest.json()["reports"]] == ["r-3", "r-4"]
    assert rest.json()["next_after"] is None


async def test_every_wrong_parameter_is_told_at_once(client):
    answer = await client.get("/v1/reports?state=gone&limit=0&after=-1")
    pointers = [e["pointer"] for e in assert_problem(answer, 422, "invalid_input")["errors"]]
    assert pointers == ["?state", "?limit", "?after"]


@pytest.mark.parametrize("limit", ["x", "1.5", "²", "9" * 5000, "1001", " 1"])
async def test_a_limit_that_is_no_whole_number_is_refused(client, limit):
    answer = await client.get("/v1/reports", params={"limit": limit})
    assert_problem(answer, 422, "invalid_input")


async def test_a_report_is_found_by_name_in_any_script(client, daemon):
    daemon.add("r-1", name="報告 1.md")
    assert (await client.get("/v1/reports/報告 1.md")).json()["id"] == "r-1"
    assert_problem(await client.get("/v1/reports/other"), 404, "not_found")


async def test_wait_answers_at_once_when_the_state_is_final(client, daemon):
    daemon.add("r-1", "sent")
    answer = await client.get("/v1/reports/r-1/wait?timeout_s=60")
    assert answer.json()["state"] == "sent"


async def test_wait_answers_with_the_state_at_its_timeout(client, daemon):
    daemon.add("r-1")
    answer = await client.get("/v1/reports/r-1/wait?timeout_s=0.01")
    assert answer.json()["state"] == "waiting"


@pytest.mark.parametrize("timeout_s", ["nan", "inf", "-1", "x", "3601"])
async def test_a_timeout_out_of_bounds_is_refused(client, daemon, timeout_s):
    daemon.add("r-1")
    answer = await client.get("/v1/reports/r-1/wait", params={"timeout_s": timeout_s})
    assert_problem(answer, 422, "invalid_input")


async def test_waiting_for_an_unknown_report_is_not_found(client):
    assert_problem(await client.get("/v1/reports/none/wait"), 404, "not_found")


async def test_send_passes_the_destination_and_answers_the_outcome(client, daemon):
    daemon.add("r-1")
    body = {"channel": "discord", "target": "channel:1"}
    answer = await client.post("/v1/reports/r-1/send", json=body)
    assert answer.json()["outcome"] == "confirmed"
    assert daemon.acts == [("send", "r-1", None, "discord", "channel:1")]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"channel": "x"}, "/target"),
        ({"target": "x"}, "/channel"),
        ({"destination": "d", "channel": "x", "target": "y"}, "/destination"),
        ({"destination": 7}, "/destination"),
        ({"destination": " "}, "/destination"),
    ],
)
async def test_send_to_half_a_destination_is_refused(client, daemon, body, pointer):
    daemon.add("r-1")
    answer = await client.post("/v1/reports/r-1/send", json=body)
    assert assert_problem(answer, 422, "invalid_input")["errors"][0]["pointer"] == pointer
    assert daemon.acts == []


async def test_acts_need_no_body_and_record_who_did_them(client, daemon):
    daemon.add("r-1")
    assert (await client.post("/v1/reports/r-1/retry")).json()["id"] == "r-1"
    assert (await client.post("/v1/queue/retry")).json()["state"] == "idle"
    assert [act[:3] for act in daemon.acts] == [("retry", "r-1", None), ("retry", None, None)]
    assert daemon.acts[0][3].startswith("uid ")


async def test_skip_needs_a_reason(client, daemon):
    daemon.add("r-1")
    assert_problem(await client.post("/v1/reports/r-1/skip", json={}), 422, "invalid_input")
    assert_problem(
        await client.post("/v1/reports/r-1/skip", json={"reason": " "}), 422, "invalid_input"
    )
    answer = await client.post("/v1/reports/r-1/skip", json={"reason": "老闆說不用"})
    assert (answer.json()["state"], answer.json()["reason"]) == ("held", "老闆說不用")
    again = await client.post("/v1/reports/r-1/skip", json={"reason": "x"})
    assert_problem(again, 409, "does_not_apply")


async def test_resolve_takes_sent_or_resend_alone(client, daemon):
    daemon.add("r-1")
    for body in ({}, {"as": "gone"}, {"as": 1}):
        assert_problem(
            await client.post("/v1/reports/r-1/resolve", json=body), 422, "invalid_input"
        )
    await client.post("/v1/reports/r-1/resolve", json={"as": "resend", "destination": "phone"})
    assert daemon.acts == [("resolve", "r-1", "resend", "phone")]


async def test_pause_and_resume_answer_the_status(client, daemon):
    assert (await client.post("/v1/queue/pause")).json()["state"] == "paused"
    answer = await client.post("/v1/queue/resume", json={"destination": "owner"})
    assert answer.json()["state"] == "idle"
    assert daemon.acts == [("pause", None), ("resume", "owner")]


async def test_an_act_with_a_form_for_a_body_is_refused(client):
    answer = await client.post("/v1/queue/pause", data={"destination": "x"})
    assert_problem(answer, 415, "unsupported_type")


async def test_status_health_and_version(client, daemon):
    assert (await client.get("/v1/status")).json()["schema"] == "ownerreportd.status/1"
    assert (await client.get("/v1/health")).status_code == 200
    daemon.extra = {"state": "blocked", "code": "config"}
    unwell = await client.get("/v1/health")
    assert (unwell.status_code, unwell.json()["code"]) == (503, "config")
    assert (await client.get("/v1/version")).json() == {"version": "9.9.9", "api": "v1"}


async def test_an_unknown_route_is_a_problem_without_a_redirect(client):
    assert_problem(await client.get("/v2/status"), 404, "not_found")
    assert_problem(await client.get("/v1/status/"), 404, "not_found")


async def test_a_wrong_method_is_told_what_is_allowed(client):
    answer = await client.delete("/v1/reports")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert (await client.request("OPTIONS", "/v1/queue/pause")).headers["allow"] == "POST"


async def test_head_answers_as_get_without_a_body(client):
    answer = await client.head("/v1/status")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("header", ["Origin", "Referer"])
async def test_what_a_web_page_sends_is_refused(client, daemon, header):
    headers = {**MARKDOWN, header: "http://localhost"}
    answer = await client.put("/v1/reports/a", content="x", headers=headers)
    assert_problem(answer, 403, "not_allowed")
    assert daemon.store == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("ownerreportd", 200), ("", 200), ("LOCALHOST:80", 200),
        ("evil.example", 421), ("localhost.evil.example", 421), ("127.0.0.1", 421),
    ],
)  # fmt: skip
async def test_another_host_is_misdirected(client, host, status):
    answer = await client.get("/v1/status", headers={"Host": host})
    assert answer.status_code == status
    if status == 421:
        assert_problem(answer, 421, "misdirected_request")


async def test_an_unexpected_exception_is_logged_and_tells_nothing(client, daemon, log):
    daemon.broken = RuntimeError("the token is s3cret")
    answer = await client.get("/v1/reports/x")
    assert_problem(answer, 500, "internal_error")
    assert "s3cret" not in answer.text
    [(event, fields)] = log.lines
    assert event == "api.failed"
    assert fields["exc_info"] is daemon.broken


async def test_an_operators_error_keeps_its_finer_code_and_its_single_mistakes(client, daemon):
    daemon.broken = StorageError("disk", hint="df -h", code="disk_full")
    content = assert_problem(await client.get("/v1/reports/x"), 507, "storage")
    assert (content["code"], content["hint"]) == ("disk_full", "df -h")
    daemon.broken = ConfigError("two mistakes", hint="h", mistakes=("a: x", "b: y"))
    content = assert_problem(await client.get("/v1/reports/x"), 422, "config")
    assert [each["message"] for each in content["errors"]] == ["a: x", "b: y"]


async def test_an_error_inside_a_wait_is_no_group(client, daemon):
    report = daemon.add("r-1")

    async def gone(ref, *, timeout_s):
        raise NotFoundError("withdrawn meanwhile", hint="ownerreportd list")

    daemon.wait = gone
    assert report["state"] == "waiting"
    assert_problem(await client.get("/v1/reports/r-1/wait"), 404, "not_found")


async def test_answers_are_readable_utf_8_and_survive_what_is_not(client, daemon):
    daemon.add("r-1", title="報告")
    assert "報告".encode() in (await client.get("/v1/reports/r-1")).content
    daemon.add("r-2", title="a\udcff")
    assert json.loads((await client.get("/v1/reports/r-2")).content)["title"] == "a\udcff"
