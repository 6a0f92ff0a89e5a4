// The live page: what the interface below /api/v1 shows, drawn. It keeps the token for this tab alone, and nothing else.

const API = "/api/v1";
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const LANE = 30, TOP = 44, LEFT = 96, PALETTE = 6;
// The level from which a bar shows, in dB below full scale, and how often levels are asked for, in milliseconds.
const QUIETEST = -60, LEVELS_EVERY = 200;

const page = {
  token: null, past: false, calls: new Map(), chosen: null, stop: null,
  entries: [], talking: new Set(), levels: new Map(), items: new Map(), position: 0, cursor: null,
};

// Requests.

async function ask(path, method = "GET", body) {
  const headers = { Authorization: `Bearer ${page.token}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(API + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail ?? response.statusText), { problem: answer, status: response.status });
  return answer;
}

const of = (id) => (page.past ? "/past/" : "/calls/") + encodeURIComponent(id);

// Live changes: server-sent events by fetch, since EventSource carries no credential.
async function follow(after, signal) {
  for (;;) {
    try {
      const response = await fetch(`${API}/events?after=${after}`, { headers: { Authorization: `Bearer ${page.token}` }, signal });
      if (!response.ok) throw new Error(response.statusText);
      let text = "";
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) throw new Error("it ended");
        text += value;
        let end;
        while ((end = text.indexOf("\n\n")) >= 0) {
          const fields = Object.fromEntries(text.slice(0, end).split("\n").filter((line) => line.includes(":"))
            .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()]));
          text = text.slice(end + 2);
          if (fields.id) after = Number(fields.id);
          if (fields.event === "reset") after = await list();
          else if (fields.data) took(JSON.parse(fields.data));
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      say(`The stream of changes broke (${error.message}), trying again`, true);
    }
    await new Promise((done) => setTimeout(done, 1500));
    if (signal.aborted) return;
    try { after = await list(); } catch { /* the next round says so */ }
  }
}

async function list() {
  const found = await ask("/calls?limit=500");
  page.calls = new Map(found.calls.map((call) => [call.id, call]));
  rows();
  return found.change;
}

function took({ kind, call }) {
  if (page.past) return;
  if (kind === "closed") page.calls.delete(call.id);
  else page.calls.set(call.id, call);
  row(call.id);
  if (call.id === page.chosen) {
    if (kind === "closed") say("The call is over");
    else facts(call);
    more();
  }
}

// The list.

function rows() {
  $("calls").replaceChildren();
  for (const id of page.calls.keys()) row(id);
  counted();
}

const shown = (call) => {
  const find = $("find").value.trim().toLowerCase();
  return !find || `${call.id} ${call.room} ${call.holder?.specialist ?? ""}`.toLowerCase().includes(find);
};

function row(id) {
  const call = page.calls.get(id);
  let item = document.getElementById(`row-${id}`);
  if (!call || !shown(call)) { item?.remove(); return counted(); }
  if (!item) {
    item = make("li", { id: `row-${id}`, role: "option" });
    item.dataset.id = id;
    $("calls").append(item);
  }
  item.setAttribute("aria-selected", String(id === page.chosen));
  const holder = call.holder?.specialist;
  const chip = page.past ? make("span", { class: "chip" }, length(call))
    : make("span", { class: `chip ${holder ? color(holder) : ""}` }, call.held ? "on hold" : holder ?? call.phase);
  const sub = page.past ? `ended ${new Date(call.ended_unix_ms).toLocaleString()}`
    : `${call.phase}, epoch ${call.epoch}${call.handoff ? `, to ${call.handoff.to}` : ""}`;
  item.replaceChildren(make("span", { class: "name" }, call.room), chip, make("span", { class: "sub" }, sub));
  counted();
}

function counted() {
  $("none").hidden = $("calls").childElementCount > 0;
  if (!page.past) $("live-count").textContent = page.calls.size ? `(${page.calls.size})` : "";
}

const length = (call) => clock((call.ended_unix_ms - call.started_unix_ms) / 1000);
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

// A specialist keeps its color over all calls of this page.
const colors = new Map();
function color(name) {
  if (!colors.has(name)) colors.set(name, `s${colors.size % PALETTE}`);
  return colors.get(name);
}

// One call.

async function choose(id) {
  page.chosen = id;
  Object.assign(page, { entries: [], items: new Map(), position: 0, cursor: null });
  page.talking.clear();
  page.levels.clear();
  for (const item of $("calls").children) item.setAttribute("aria-selected", String(item.dataset.id === id));
  document.getElementById(`row-${id}`)?.scrollIntoView({ block: "nearest" });
  $("context").replaceChildren();
  $("state").textContent = "";
  $("version").textContent = "";
  say("");
  const call = page.calls.get(id);
  $("call").hidden = !call;
  if (!call) return;
  $("steer").hidden = page.past;
  $("replay").hidden = !page.past;
  facts(call);
  draw();
  if (page.past) await recall(id);
  else await more();
}

function facts(call) {
  $("room").textContent = call.room;
  $("id").textContent = call.id;
  const lines = page.past
    ? { began: new Date(call.started_unix_ms).toLocaleString(), length: length(call), epoch: call.epoch, "lost records": call.lost }
    : {
      holder: call.held ? `on hold (${call.held.specialist} waits)` : call.holder?.specialist ?? "nobody", epoch: call.epoch, phase: call.phase,
      caller: call.caller ? `${call.caller.identity}${call.caller.listening ? "" : ", does not hear yet"}` : "awaited",
      previous: call.previous ?? "nobody", handoffs: `${call.counts.handoffs_done} done, ${call.counts.handoffs_failed} failed, ${call.counts.refused} refused`,
      ...(call.recorded ? { recorded: "yes" } : {}),
    };
  $("facts").replaceChildren(...Object.entries(lines).map(([name, value]) => {
    const line = make("div");
    line.append(make("dt", {}, name), make("dd", {}, String(value)));
    return line;
  }));
  if (page.past) return;
  $("hold").textContent = call.held ? "Resume" : "Hold";
  $("accept").hidden = $("decline").hidden = !call.rung;
  $("accept").querySelector("span").textContent = call.rung ?? "";
  $("hand-back").hidden = !call.holder?.person;
  $("hand-back").querySelector("span").textContent = call.holder?.specialist ?? "";
  const names = [...new Set([...call.specialists.map((row) => row.specialist), ...colors.keys(), "previous"])];
  const others = names.filter((name) => name !== call.holder?.specialist);
  $("names").replaceChildren(...others.map((name) => make("option", { value: name })));
}

// What is new in the chosen call. One request of each kind at a time.
let asking = false, again = false;
async function more() {
  if (page.past || !page.chosen) return;
  if (asking) { again = true; return; }
  asking = true;
  const id = page.chosen;
  try {
    const last = page.entries.at(-1)?.number ?? 0;
    const [timeline, context, state] = await Promise.all([
      ask(`${of(id)}/timeline?after=${last}`), ask(`${of(id)}/context?after=${page.position}`), ask(`${of(id)}/state`)]);
    if (id !== page.chosen) return;
    page.entries.push(...timeline.entries);
    page.position += context.items.length;
    for (const { id: item, item: value } of context.items) spoke(item, value);
    $("state").textContent = JSON.stringify(state.document, null, 2);
    $("version").textContent = `version ${state.version}`;
    if (timeline.next !== null || context.next !== null) again = true;
    if (timeline.entries.length) draw();
  } catch (error) {
    if (error.status === 403) say("This token lists calls and does not open them");
    else if (error.status !== 404) say(error.message, true);
  } finally {
    asking = false;
    if (again) { again = false; more(); }
  }
}

async function recall(id) {
  try {
    for (let after = 0; after !== null && id === page.chosen;) {
      const found = await ask(`${of(id)}/timeline?after=${after}`);
      page.entries.push(...found.entries);
      after = found.next;
    }
    const packet = await ask(`${of(id)}/packet`);
    if (id !== page.chosen) return;
    for (const item of packet.context.items ?? []) spoke(item.id, item);
    $("state").textContent = JSON.stringify(packet.state?.document ?? {}, null, 2);
    const call = page.calls.get(id);
    $("at").max = (call.ended_unix_ms - call.started_unix_ms) / 1000;
    move(0);
    const vcon = await ask(`${of(id)}/vcon`);
    URL.revokeObjectURL($("vcon").href);
    $("vcon").href = URL.createObjectURL(new Blob([JSON.stringify(vcon, null, 2)], { type: "application/json" }));
    $("vcon").download = `${id}.vcon.json`;
  } catch (error) { say(error.message, true); }
}

function spoke(id, item) {
  if (!item) return;
  const words = { message: () => [item.role, [].concat(item.content ?? []).map((part) => part.text ?? part).join(" ")],
    function_call: () => ["calls", `${item.name} ${item.arguments ?? ""}`], function_call_output: () => ["result", item.output ?? ""],
    agent_handoff: () => ["handoff", `${item.old_agent_id ?? "nobody"} to ${item.new_agent_id}`] }[item.type]?.() ?? [item.type ?? "item", ""];
  const line = make("li");
  line.append(make("b", {}, words[0]), document.createTextNode(String(words[1])));
  const known = page.items.get(id);
  if (known) known.replaceWith(line);
  else $("context").append(line);
  page.items.set(id, line);
  if (!page.past) line.scrollIntoView({ block: "nearest" });
}

// The timeline: entries become spans of time, spans become boxes.

function spans(until) {
  const found = { lanes: new Map([["caller", []]]), phases: [], dead: [], held: [], over: [], talks: [], marks: [] };
  const open = { phase: null, holder: null, dead: null, held: null, talks: new Map(), old: null };
  const names = new Map();
  const close = (list, span, to) => { if (span) list.push({ ...span, to }); };
  const lane = (name) => found.lanes.get(name) ?? found.lanes.set(name, []).get(name);
  for (const { unix_ms: at, what, data } of page.entries) {
    if (at > until) break;
    switch (what) {
      case "phase":
        close(found.phases, open.phase, at);
        open.phase = { from: at, name: data.phase };
        break;
      case "specialist_joined": names.set(data.identity, data.specialist); lane(data.specialist); break;
      case "caller_pinned": names.set(data.identity, "caller"); break;
      case "granted":
        names.set(data.identity, data.specialist);
        if (open.holder && open.holder.name !== data.specialist) open.old = { name: open.holder.name, from: at };
        if (open.holder) close(lane(open.holder.name), open.holder, at);
        close(found.held, open.held, at);
        open.held = null;
        open.holder = { from: at, name: data.specialist, epoch: data.epoch };
        break;
      case "handoff_done": case "handoff_failed":
        close(found.over, open.old, at);
        open.old = null;
        if (what === "handoff_failed") found.marks.push({ at, text: `handoff ${data.handoff} failed: ${JSON.stringify(data.reason)}` });
        break;
      case "handoff_refused": found.marks.push({ at, text: `refused: ${JSON.stringify(data.reason)}` }); break;
      case "held": case "holder_lost":
        if (open.holder) close(lane(open.holder.name), open.holder, at);
        open.holder = null;
        if (what === "held") open.held = { from: at };
        else found.marks.push({ at, text: `${data.specialist} was lost` });
        break;
      case "dead_air_began": open.dead = { from: at }; break;
      case "dead_air_ended": close(found.dead, open.dead, at); open.dead = null; break;
      case "talking":
        if (data.talking) open.talks.set(data.identity, { from: at });
        else { close(found.talks, open.talks.get(data.identity) && { ...open.talks.get(data.identity), name: names.get(data.identity) }, at); open.talks.delete(data.identity); }
        break;
    }
  }
  close(found.phases, open.phase, until);
  if (open.holder) close(lane(open.holder.name), open.holder, until);
  close(found.dead, open.dead, until);
  close(found.held, open.held, until);
  close(found.over, open.old, until);
  for (const [identity, talk] of open.talks) found.talks.push({ ...talk, name: names.get(identity), to: until, now: true });
  return found;
}

function draw() {
  const call = page.calls.get(page.chosen), svg = $("timeline");
  if (!call) return;
  const start = call.started_unix_ms;
  const newest = page.entries.at(-1)?.unix_ms ?? start;
  const end = Math.max(page.past ? call.ended_unix_ms : Math.max(Date.now(), newest), newest, start + 5000);
  const found = spans(end);
  const lanes = [...found.lanes.keys()];
  const room = Math.max($("scroll").clientWidth - 2, 280);
  const width = Math.max(room, LEFT + Math.min((end - start) / 1000 * 4, 24000));
  const height = TOP + lanes.length * LANE + 8;
  const x = (at) => LEFT + (Math.max(at, start) - start) / (end - start) * (width - LEFT - 10);
  const box = (kind, from, to, y, tall, title, extra = {}) => {
    const rect = drawn("rect", { class: kind, x: x(from), y, width: Math.max(x(to) - x(from), 1), height: tall, ...extra });
    if (title) rect.append(drawn("title", {}, title));
    return rect;
  };
  const parts = [];
  const step = [1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600].find((step) => (width - LEFT) / ((end - start) / 1000 / step) > 56) ?? 7200;
  for (let second = 0; second * 1000 <= end - start; second += step) {
    const at = x(start + second * 1000);
    parts.push(drawn("line", { class: "rule", x1: at, x2: at, y1: 16, y2: height }), drawn("text", { class: "faint", x: at + 2, y: 12 }, clock(second)));
  }
  parts.push(drawn("text", { class: "faint", x: 6, y: 34 }, "phase"));
  for (const { from, to, name } of found.phases) parts.push(box(`p-${name}`, from, to, 22, 16, `${name}, ${((to - from) / 1000).toFixed(2)} s`),
    ...(x(to) - x(from) > 58 ? [drawn("text", { x: x(from) + 4, y: 34 }, name)] : []));
  const y = (name) => TOP + lanes.indexOf(name) * LANE;
  const bottom = TOP + lanes.length * LANE;
  for (const { from, to } of found.held) parts.push(box("held", from, to, TOP, bottom - TOP, `hold, ${((to - from) / 1000).toFixed(1)} s`));
  for (const { from, to } of found.dead) parts.push(box("dead", from, to, TOP, bottom - TOP, `nobody was heard for ${((to - from) / 1000).toFixed(1)} s`));
  for (const [name, bars] of found.lanes) {
    if (!page.past) parts.push(drawn("rect", { class: `level ${color(name)}`, x: 6, y: y(name) + 23, width: 0, height: 4, "data-who": name }));
    parts.push(drawn("text", { x: 6, y: y(name) + 19 }, name.length > 13 ? `${name.slice(0, 12)}…` : name));
    for (const { from, to, epoch } of bars) {
      parts.push(box(`bar ${color(name)}`, from, to, y(name) + 4, LANE - 8, `${name}, epoch ${epoch}, ${((to - from) / 1000).toFixed(1)} s`));
      if (x(to) - x(from) > 24) parts.push(drawn("text", { x: x(from) + 4, y: y(name) + 19 }, String(epoch)));
    }
  }
  for (const { from, to, name, now } of found.talks) {
    // A specialist is heard while it has the baton, and through the overlap after that.
    const over = found.over.filter((span) => span.name === name);
    const heard = name === "caller" ? [{ from, to }] : [...found.lanes.get(name) ?? [], ...over];
    for (const span of heard) {
      const begin = Math.max(from, span.from), stop = Math.min(to, span.to);
      if (begin < stop) parts.push(box(`talk ${color(name)}${now && stop === end && !page.past ? " now" : ""}`, begin, stop, y(name) + 20, 5, `${name} speaks`));
    }
  }
  for (const { from, to, name } of found.over) parts.push(box("over", from, to, y(name) + 2, LANE - 4, `both are heard for up to ${to - from} ms`));
  for (const { at, text } of found.marks) {
    const mark = drawn("path", { class: "mark", d: `M${x(at)} 40l-4 -8h8z` });
    mark.append(drawn("title", {}, text));
    parts.push(mark);
  }
  if (page.cursor !== null) {
    const at = x(start + page.cursor * 1000);
    parts.push(drawn("line", { class: "cursor", x1: at, x2: at, y1: 16, y2: height }));
  }
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts);
  showLevels();
  if (!page.past) $("scroll").scrollLeft = width;
}

// How loud everybody is now: bars below the names.

function showLevels() {
  for (const bar of $("timeline").querySelectorAll(".level")) {
    const dbfs = page.levels.get(bar.dataset.who) ?? QUIETEST;
    bar.setAttribute("width", Math.max(0, Math.min(1, 1 - dbfs / QUIETEST)) * (LEFT - 14));
  }
}

let measuring = false;
async function measure() {
  if (measuring || page.past || !page.calls.has(page.chosen) || document.hidden) return;
  measuring = true;
  const id = page.chosen;
  try {
    const { voices } = await ask(`${of(id)}/levels`);
    if (id === page.chosen && !page.past) page.levels = new Map(voices.map(({ who, dbfs }) => [who, dbfs]));
  } catch { page.levels.clear(); } finally { measuring = false; }
  showLevels();
}

// A past call replays: the cursor moves, by itself or with the recording.

let playing = null;
function move(seconds) {
  page.cursor = Number(seconds);
  $("at").value = page.cursor;
  const at = page.calls.get(page.chosen)?.started_unix_ms + page.cursor * 1000;
  const holder = page.entries.filter((entry) => entry.unix_ms <= at && ["granted", "held", "holder_lost"].includes(entry.what)).at(-1);
  const who = holder?.what === "granted" ? `${holder.data.specialist} (epoch ${holder.data.epoch})` : holder?.what === "held" ? "on hold" : "nobody";
  $("at-text").textContent = `${clock(page.cursor)} ${who}`;
  draw();
}

function play(on) {
  cancelAnimationFrame(playing);
  playing = null;
  $("play").textContent = on ? "Pause" : "Play";
  if (!on) return;
  let last = performance.now();
  const step = (now) => {
    move(Math.min(page.cursor + (now - last) / 1000 * Number($("speed").value), Number($("at").max)));
    last = now;
    if (page.cursor >= Number($("at").max) || !page.past) return play(false);
    playing = requestAnimationFrame(step);
  };
  playing = requestAnimationFrame(step);
}

// Buttons and keys.

function say(text, bad = false) {
  $("answer").textContent = text;
  $("answer").classList.toggle("bad", bad);
}

async function steer(what, path, body, method = "POST") {
  say(`${what} ...`);
  // A person is answered for while the handoff to it is awaited.
  const buttons = $("steer").querySelectorAll("button:not(#accept, #decline)");
  for (const button of buttons) button.disabled = true;
  try {
    const answer = await ask(`${of(page.chosen)}${path}`, method, body);
    say(answer?.holder ? `${answer.holder} has the baton, epoch ${answer.epoch}` : answer?.held ? "The caller is on hold" : answer && "accepted" in answer ? (answer.accepted ? "Accepted" : "Declined") : `${what}: ${answer?.outcome?.replace("_", " ") ?? "done"}`);
  } catch (error) {
    say(`${what}: ${error.message}${error.problem?.reason ? ` (${error.problem.reason})` : ""}`, true);
  } finally {
    for (const button of buttons) button.disabled = false;
    more();
  }
}

const held = () => Boolean(page.calls.get(page.chosen)?.held);
const handOver = () => !$("to").value.trim() ? $("to").focus() : steer("Hand over", "/handoffs", { to: $("to").value, reason: "asked on the live page" });
const toggleHold = () => (held() ? steer("Resume", "/resume", {}) : steer("Hold", "/hold"));
const escalate = () => steer("Escalate", "/escalate", { reason: "asked on the live page" });

async function show(past) {
  page.past = past;
  page.chosen = null;
  play(false);
  $("call").hidden = true;
  $("live").setAttribute("aria-selected", String(!past));
  $("past").setAttribute("aria-selected", String(past));
  try {
    if (past) {
      const found = await ask("/past?limit=500");
      page.calls = new Map(found.calls.map((call) => [call.id, call]));
      rows();
    } else await list();
  } catch (error) {
    page.calls = new Map();
    rows();
    $("none").textContent = error.message;
  }
}

async function worker() {
  const worker = await ask("/worker");
  $("worker").textContent = `${worker.agent_name}: ${worker.calls} of ${worker.calls_max} calls${worker.registered ? "" : ", not registered"}${worker.draining ? ", draining" : ""}`;
}

async function open(token) {
  page.token = token;
  page.stop?.abort();
  try {
    await worker();
    sessionStorage.setItem("token", token);
    $("login").hidden = true;
    $("logout").hidden = false;
    $("main").hidden = false;
    page.stop = new AbortController();
    const change = await list();
    follow(change, page.stop.signal);
    const [first] = page.calls.keys();
    if (page.calls.size === 1) choose(first);
  } catch (error) {
    sessionStorage.removeItem("token");
    $("worker").textContent = error.message;
  }
}

function make(name, attributes = {}, text) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function drawn(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

$("login").addEventListener("submit", (event) => { event.preventDefault(); open($("token").value.trim()); });
$("logout").addEventListener("click", () => { sessionStorage.removeItem("token"); location.reload(); });
$("live").addEventListener("click", () => show(false));
$("past").addEventListener("click", () => show(true));
$("find").addEventListener("input", rows);
$("calls").addEventListener("click", (event) => { const item = event.target.closest("li"); if (item) choose(item.dataset.id); });
$("steer").addEventListener("submit", (event) => { event.preventDefault(); handOver(); });
$("hold").addEventListener("click", toggleHold);
$("accept").addEventListener("click", () => steer("Accept", "/accept"));
$("decline").addEventListener("click", () => steer("Decline", "/decline"));
$("hand-back").addEventListener("click", () => steer("Hand back", "/hand_back", {}));
$("escalate").addEventListener("click", escalate);
$("end").addEventListener("click", () => { if (confirm("End this call?")) steer("End", "", undefined, "DELETE"); });
$("play").addEventListener("click", () => play(playing === null));
$("at").addEventListener("input", () => { play(false); move($("at").value); });
$("wav").addEventListener("change", () => {
  const [file] = $("wav").files;
  $("sound").hidden = !file;
  if (file) $("sound").src = URL.createObjectURL(file);
});
$("sound").addEventListener("timeupdate", () => move($("sound").currentTime));
addEventListener("resize", draw);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(document.activeElement?.tagName)) return;
  const items = [...$("calls").children], at = items.findIndex((item) => item.dataset.id === page.chosen);
  const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
  if (step && items.length) {
    event.preventDefault();
    choose(items[Math.min(Math.max(at + step, 0), items.length - 1)].dataset.id);
  } else if (page.chosen && !page.past) {
    ({ o: handOver, h: toggleHold, e: escalate })[event.key]?.();
  }
});
// What moves by itself: bars that are not over, and words that came without a change of the call.
setInterval(() => { if (page.stop && !document.hidden) worker().catch((error) => { $("worker").textContent = error.message; }); }, 5000);
setInterval(() => { if (page.calls.has(page.chosen) && !page.past && !document.hidden) { draw(); more(); } }, 1000);
setInterval(measure, LEVELS_EVERY);

const kept = new URLSearchParams(location.hash.slice(1)).get("token") ?? sessionStorage.getItem("token");
if (location.hash) history.replaceState(null, "", location.pathname);
if (kept) open(kept);
