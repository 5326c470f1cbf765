// The demo's page: calls the server, is called by it, and finds it again when it has gone.
import { Rpc } from "./longwire.min.js";

const $ = (id) => document.getElementById(id);

const MOST_MESSAGES = 200;
const MOST_POINTS = 120;      // of the plot; its viewBox is as wide

// Times are in milliseconds. The server sends a figure four times a second.
const rpc = new Rpc("/ws", {
  reconnect: { first: 250, max: 8000 },
  heartbeat: { interval: 5000, timeout: 10000 },
});

let counting;                 // down to the next attempt

// What the server calls.
rpc.addRoute("counter", ({ value }) => { $("value").textContent = value; });
rpc.addRoute("users", ({ count }) => { $("users").textContent = count; });
rpc.addRoute("said", say);

rpc.on("connect", async () => {
  try {
    const { value, users, messages } = await rpc.call("join");
    $("value").textContent = value;
    $("users").textContent = users;
    $("messages").replaceChildren();
    messages.forEach(say);
    show("connected");
  } catch (error) {
    complain(error);
  }
});
rpc.on("close", ({ cause, code, reason, retryAfter }) => {
  show("reconnecting");
  const from = Date.now();
  const why = [cause, code, reason].filter(Boolean).join(" ");
  const count = () => {
    const left = Math.max(0, Math.ceil((retryAfter - (Date.now() - from)) / 1000));
    $("why").textContent = retryAfter === null
      ? `The connection ended (${why}). Load the page again.`
      : `The server does not answer, or has gone (${why}). Next try in ${left} s: is "longwire demo" running?`;
  };
  count();
  clearInterval(counting);
  counting = setInterval(count, 500);
});

function show(state) {
  const connected = state === "connected";
  $("connection").textContent = state;
  $("connection").className = state;
  if (connected) {
    clearInterval(counting);
    $("why").textContent = "";
  }
  for (const id of ["plus", "minus", "send"]) $(id).disabled = !connected;
  if (!connected) for (const id of ["users", "latency"]) $(id).textContent = "–";
}

// What the user did wrong is shown; that the connection has gone is shown already.
function complain(error) {
  if (error.name !== "DisconnectedError") $("error").textContent = error.message;
}

async function ask(name, args) {
  $("error").textContent = "";
  try {
    return await rpc.call(name, args, { noWait: true });
  } catch (error) {
    complain(error);
    throw error;
  }
}

// The stream goes on after a reconnect; what is missing is a gap in the plot.
async function plot() {
  const points = [];
  const keep = (point) => {
    points.push(point);
    if (points.length > MOST_POINTS) points.shift();
  };
  const resubscribe = () => keep(null);
  for await (const ms of rpc.stream("latency", [], { window: 2, resubscribe })) {
    keep(ms);
    $("latency").textContent = milliseconds(ms);
    draw(points);
  }
}

// The scale is that of most points: after a spike, which is cut, the rest is not a flat line.
function draw(points) {
  const known = points.filter((ms) => ms !== null).sort((a, b) => a - b);
  const most = known[known.length - 1] ?? 0;
  const top = Math.max(1.25 * (known[Math.floor(known.length * 0.9)] ?? 0), 0.001);
  let pen = "M";
  const curve = points.map((ms, x) => {
    const height = 95 * Math.min(ms / top, 1);
    const piece = ms === null ? "" : `${pen}${x} ${(100 - height).toFixed(1)}`;
    pen = ms === null ? "M" : "L";
    return piece;
  });
  $("curve").setAttribute("d", curve.join(""));
  $("plot-range").textContent = `at most ${milliseconds(most)}; top of the plot: ${milliseconds(top)}`;
}

function milliseconds(ms) {
  return `${ms.toFixed(ms < 10 ? 2 : 0)} ms`;
}

// textContent only: what others write stays text.
function say({ name, text, time }) {
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const item = document.createElement("li");
  const when = document.createElement("time");
  const who = document.createElement("b");
  const what = document.createElement("span");
  when.dateTime = time;
  when.textContent = new Date(time).toLocaleTimeString([], { timeStyle: "short" });
  who.textContent = name;
  what.textContent = text;
  item.append(when, who, what);
  list.append(item);
  while (list.childElementCount > MOST_MESSAGES) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

// Storage may be forbidden; a name is not worth an error.
function remember(name) {
  try { localStorage.setItem("longwire-name", name); } catch { /* not kept */ }
}

function recall() {
  try { return localStorage.getItem("longwire-name"); } catch { return null; }
}

$("plus").onclick = () => ask("counter.add", [1]).catch(() => {});
$("minus").onclick = () => ask("counter.add", [-1]).catch(() => {});
$("name").value = recall() || `guest-${Math.floor(1000 + Math.random() * 9000)}`;
$("name").onchange = () => remember($("name").value);
$("chat").onsubmit = (event) => {
  event.preventDefault();
  const said = { name: $("name").value, text: $("text").value };
  $("text").value = "";
  ask("chat.say", said).catch(() => {
    // It was not said: give it back, unless something else is being written.
    $("text").value ||= said.text;
  });
};
rpc.connect();
plot().catch(complain);
