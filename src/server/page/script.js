"use strict";
// Liveness and actions. What is shown is made by the server: on news the page is fetched again and what changed replaced.
const main = document.querySelector("main");
const live = document.getElementById("live");
const said = document.getElementById("said");
const token = document.getElementById("token");
const by = document.getElementById("by");
const dialog = document.getElementById("ask");

function say(text) { said.textContent = text; }

function mayAct() {
  const may = token !== null && token.value.trim() !== "";
  for (const button of document.querySelectorAll("button[data-post]")) button.disabled = !may;
}

function replace(fresh) {
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const old = main.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`);
    if (old === null || old.outerHTML === part.outerHTML) continue;
    const open = new Set([...old.querySelectorAll("details[open]")].map((details) => details.dataset.key));
    for (const details of part.querySelectorAll("details")) details.open = open.has(details.dataset.key);
    const focused = old.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    old.replaceWith(part);
    if (focused !== undefined) part.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }
  mayAct();
}

// How far what is shown can be trusted.
let asOf = live.textContent;
let isAnswered = true;
function show() {
  const isLive = events?.readyState === EventSource.OPEN || Date.now() - heard < SILENCE;
  const state = !isAnswered ? `no answer from the daemon; ${asOf}` : isLive ? "live" : `not live: reconnecting; ${asOf}`;
  if (live.textContent !== state) live.textContent = state;
}

let fetching = false;
let again = false;
async function refresh() {
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    const answer = await fetch(location.pathname, { headers: { accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(9000) });
    isAnswered = answer.ok;
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      asOf = fresh.getElementById("live").textContent;
      replace(fresh.querySelector("main"));
    }
  } catch { isAnswered = false; }
  fetching = false;
  show();
  if (again) { again = false; setTimeout(refresh, 500); }
}

let timer;
function news() {
  clearTimeout(timer);
  timer = setTimeout(refresh, 150);
}

// A browser has few connections for one place. So of all tabs one listens and tells the others, and one that nobody sees
// does neither. Of two that began at once the one with the smaller number goes on.
const SILENCE = 6000;
const me = Math.random();
const tabs = new BroadcastChannel("rearguard");
let events = null;
let heard = -Infinity;
function tell(kind) { tabs.postMessage({ kind, me }); }

tabs.onmessage = ({ data }) => {
  if (data.kind === "who") {
    if (events?.readyState === EventSource.OPEN) tell("listens");
    return;
  }
  if (data.kind === "leaves") {
    heard = -Infinity;
    setTimeout(listen, Math.random() * 500);
    return;
  }
  heard = Date.now();
  if (data.me < me) hush();
  if (data.kind === "news") news();
  show();
};

function hush() {
  events?.close();
  events = null;
}

function listen() {
  if (events !== null || document.hidden || Date.now() - heard < SILENCE) return;
  events = new EventSource("/api/v1/events");
  events.onopen = () => { tell("listens"); show(); };
  events.onerror = () => {
    // What was refused is not asked for again by the browser itself.
    if (events?.readyState === EventSource.CLOSED) { events = null; setTimeout(listen, 5000); }
    show();
  };
  for (const kind of ["apps", "app", "gone", "incident", "storm"]) {
    events.addEventListener(kind, () => { news(); tell("news"); });
  }
}

function leave() {
  if (events === null) return;
  hush();
  tell("leaves");
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) { leave(); } else { listen(); refresh(); }
});
window.addEventListener("pagehide", leave);
window.addEventListener("pageshow", () => { tell("who"); setTimeout(listen, 300); });
setInterval(() => {
  if (events?.readyState === EventSource.OPEN) { tell("listens"); } else { listen(); }
  show();
}, 2000);
// Times go on by themselves.
setInterval(() => { if (!document.hidden) refresh(); }, 10000);

async function post(path, body) {
  say("asking the daemon ...");
  const headers = { authorization: `Bearer ${token.value.trim()}`, "content-type": "application/json" };
  try {
    const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal: AbortSignal.timeout(12000) });
    const text = await answer.json();
    // An app may be paused in several ways, and each has its own end.
    const taken = text.done === "resume" ? "resume: taken; what else keeps hands off is shown here" : `${text.done}: taken`;
    say(answer.ok ? taken : text.error.message);
  } catch {
    say("no answer from the daemon: whether it was done is not known, so look before asking again");
  }
  refresh();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-post]");
  if (button === null) return;
  document.getElementById("question").textContent = button.dataset.question;
  const lasts = document.getElementById("lasts");
  lasts.hidden = button.dataset.lasts === undefined;
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (dialog.returnValue !== "yes") return;
    const body = {};
    if (by.value.trim() !== "") body.by = by.value.trim();
    const seconds = Number(document.getElementById("seconds").value);
    if (!lasts.hidden && seconds > 0) body.for_seconds = seconds;
    if (button.dataset.target !== undefined) body.target_deployment = button.dataset.target;
    post(button.dataset.post, body);
  };
  dialog.showModal();
});

if (token !== null) {
  // For this tab and until it is closed, so that it need not be entered on each page.
  for (const field of [token, by]) {
    field.value = sessionStorage.getItem(`rearguard-${field.id}`) ?? "";
    field.addEventListener("input", () => { sessionStorage.setItem(`rearguard-${field.id}`, field.value); mayAct(); });
  }
  document.querySelector("form.who").addEventListener("submit", (event) => event.preventDefault());
}
mayAct();
