// The demo's page: shows what the server says, and finds it again when it has gone.
"use strict";

const $ = (id) => document.getElementById(id);

const FIRST_DELAY = 250;      // milliseconds, like all times here
const LONGEST_DELAY = 8000;
const SILENCE = 15000;        // the server sends a latency figure every two seconds
const MOST_MESSAGES = 200;

let socket = null;
let delay = FIRST_DELAY;
let retry = null;             // timer of the next attempt
let watchdog = null;

function connect() {
  clearTimeout(retry);
  retry = null;
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/ws`);
  socket.onopen = () => {
    delay = FIRST_DELAY;
    show("connected");
  };
  socket.onmessage = (event) => {
    watch();
    take(JSON.parse(event.data));
  };
  socket.onclose = lost;
  watch();
}

// A network that is gone does not say so: silence does.
function watch() {
  clearTimeout(watchdog);
  watchdog = setTimeout(lost, SILENCE);
}

function lost() {
  clearTimeout(watchdog);
  socket.onopen = socket.onmessage = socket.onclose = null;
  socket.close();
  socket = null;
  show("reconnecting");
  // Jitter, so that not all tabs of a restarted server come at the same moment.
  retry = setTimeout(connect, delay * (0.5 + Math.random()));
  delay = Math.min(delay * 2, LONGEST_DELAY);
}

function reconnectNow() {
  if (retry !== null && document.visibilityState === "visible") connect();
}

function show(state) {
  const connected = state === "connected";
  $("connection").textContent = state;
  $("connection").className = state;
  for (const id of ["plus", "minus", "send"]) $(id).disabled = !connected;
  if (!connected) for (const id of ["users", "latency"]) $(id).textContent = "–";
}

function take(message) {
  switch (message.type) {
    case "state":
      $("value").textContent = message.value;
      break;
    case "users":
      $("users").textContent = message.count;
      break;
    case "latency":
      $("latency").textContent = `${message.ms.toFixed(message.ms < 10 ? 2 : 0)} ms`;
      break;
    case "history":
      $("messages").replaceChildren();
      message.messages.forEach(say);
      break;
    case "chat":
      say(message);
      break;
    case "error":
      $("error").textContent = message.message;
      break;
    default:
      console.warn("unknown message", message.type);
  }
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

function send(message) {
  if (socket === null || socket.readyState !== WebSocket.OPEN) return false;
  $("error").textContent = "";
  socket.send(JSON.stringify(message));
  return true;
}

// Storage may be forbidden; a name is not worth an error.
function remember(name) {
  try { localStorage.setItem("longwire-name", name); } catch { /* not kept */ }
}

function recall() {
  try { return localStorage.getItem("longwire-name"); } catch { return null; }
}

$("plus").onclick = () => send({ action: "plus" });
$("minus").onclick = () => send({ action: "minus" });
$("name").value = recall() || `guest-${Math.floor(1000 + Math.random() * 9000)}`;
$("name").onchange = () => remember($("name").value);
$("chat").onsubmit = (event) => {
  event.preventDefault();
  if (send({ action: "chat", name: $("name").value, text: $("text").value })) {
    $("text").value = "";
  }
};
addEventListener("online", reconnectNow);
document.addEventListener("visibilitychange", reconnectNow);
connect();
