// The page's life: what is asked for and how often, the token, and what is said when nobody answers.
//
// One loop asks for one thing after another, so that requests never overlap. While the tab is hidden it asks for the
// status alone, and rarely.
import { API, Gone, Refused } from "./api.js";
import { byID, setText } from "./dom.js";
import { Events } from "./events.js";
import { drawHeat, failHeat, Holdings } from "./holdings.js";
import { History } from "./history.js";
import { Overview } from "./overview.js";
import { Sessions } from "./sessions.js";
import { SessionView } from "./session.js";

/** Milliseconds between two looks while the tab is hidden. */
const hiddenInterval = 60_000;
/** Milliseconds between two attempts when nobody answers: doubled each time. */
const retry = { least: 1_000, most: 8_000 };

const api = new API();
const past = new History();
const overview = new Overview(past);
const holdings = new Holdings();
const sessions = new Sessions(() => hurry("sessions"));
const view = new SessionView();
const events = new Events(api);

/** What is asked for, in this order: every so many milliseconds; `path` may say that there is nothing to ask for. */
const jobs = [
  { name: "status", every: 2_000, path: () => "/v1/status", take: takeStatus },
  { name: "config", every: 300_000, path: () => "/v1/config", take: (answer) => overview.configure(answer) },
  { name: "history", every: 20_000, path: () => past.path, take: (answer) => past.take(answer) },
  { name: "report", every: 20_000, path: () => "/v1/report", take: (answer) => overview.save(answer) },
  { name: "models", every: 60_000, path: () => "/v1/models?limit=1000", take: (answer) => view.learn(answer) },
  { name: "namespaces", every: 30_000, path: () => "/v1/namespaces?limit=1000", take: (answer) =>
    sessions.offer(answer) },
  {
    name: "sessions", every: 10_000, path: () => sessions.path, take: (answer) => sessions.take(answer),
    fail: (message) => sessions.fail(message),
  },
  { name: "session", every: 10_000, path: () => view.path, ask: askSession, take() {}, fail: (message, id) =>
    view.fail(id, message) },
  {
    name: "usage", every: 30_000, path: () => "/v1/usage", take: (answer) => holdings.take(answer),
    fail: (message) => holdings.fail(message),
  },
  { name: "heat", every: 30_000, path: () => "/v1/heat", take: drawHeat, fail: failHeat },
].map((job) => ({ ...job, due: 0 }));

let store = null;
let isPaused = false;
let wake = () => {};

/** Has a job run at once. */
function hurry(name) {
  jobs.find((job) => job.name === name).due = 0;
  wake();
}

function takeStatus(answer) {
  const { store_id, pid } = answer.facts;
  const before = store;
  store = { store_id, pid, seconds: answer.counters.uptime_seconds };
  if (before && before.store_id !== store_id) past.clear();
  if (before && (before.pid !== pid || before.seconds > store.seconds)) {
    for (const job of jobs) if (job.name !== "status") job.due = 0;
    if (events.isRunning) events.restart();
  }
  overview.take(answer);
}

async function askSession() {
  const id = view.id;
  const [session, tree, explain] = [
    await api.get(`/v1/sessions/${id}`), await api.get(`/v1/sessions/${id}/tree`),
      await api.get(`/v1/sessions/${id}/explain`),
  ];
  view.take(id, { session, tree, explain });
}

/** Says how the daemon is, if that is something else than before. */
function tell(state, message) {
  document.documentElement.dataset.state = state;
  setText(byID("connection"), message);
  document.title = state === "gone" ? "Larder: no daemon" : "Larder";
}

function sleep(milliseconds) {
  return new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    wake = () => { clearTimeout(timer); done(); };
  });
}

async function run(job) {
  const id = view.id;
  // What hurries it meanwhile sets this to 0, and it runs once more.
  job.due = Infinity;
  if (job.path() !== null) {
    try {
      job.take(await (job.ask ? job.ask() : api.get(job.path())));
    } catch (error) {
      // Where one thing is refused the others go on.
      if (!(error instanceof Refused) || error.status === 401 || job.name === "status") throw error;
      job.fail?.(error.message, id);
    }
  }
  if (job.due === Infinity) job.due = performance.now() + job.every;
}

/** The next job that is due, and how long that is. */
function next() {
  const now = performance.now();
  if (document.hidden) return { job: jobs[0], wait: jobs[0].due - jobs[0].every + hiddenInterval - now };
  const job = jobs.find((one) => one.due <= now) ?? jobs.reduce((first, one) => (one.due < first.due ? one : first));
  return { job, wait: job.due - now };
}

async function live() {
  let wait = retry.least;
  for (;;) {
    if (isPaused) {
      await sleep(3_600_000);
      continue;
    }
    const { job, wait: pause } = next();
    if (pause > 0) {
      await sleep(pause);
      continue;
    }
    try {
      await run(job);
      wait = retry.least;
      tell("live", document.hidden ? "Live, at rest while hidden" : "Live");
      if (!document.hidden && !isPaused) events.start();
    } catch (error) {
      events.stop();
      if (error instanceof Refused && error.status === 401) {
        await enter();
      } else if (error instanceof Refused || error instanceof Gone) {
        tell("gone", `${error instanceof Gone ? "No daemon" : "Refused"}: ${error.message}. Trying again`);
        for (const one of jobs) one.due = 0;
        await sleep(wait);
        wait = Math.min(2 * wait, retry.most);
      } else {
        tell("gone", `This page failed: ${error.message}. Load it again`);
        throw error;
      }
    }
  }
}

let entered = () => {};

/** Asks for the token until there is one to try. */
function enter() {
  setText(byID("door-why"), api.hasToken
    ? "The daemon refused this token: it is not the one in the file that it read at its start." : "");
  api.token = null;
  tell("door", "A token is needed");
  byID("door").hidden = false;
  byID("main").hidden = true;
  byID("token").focus();
  return new Promise((done) => { entered = done; });
}

byID("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byID("token").value.trim();
  byID("token").value = "";
  if (!/^[!-~]+$/.test(token)) {
    setText(byID("door-why"), "A token has printable characters and no spaces.");
    return;
  }
  api.token = token;
  byID("door").hidden = true;
  byID("main").hidden = false;
  for (const job of jobs) job.due = 0;
  entered();
});

// The switches.

function colour(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

const theme = localStorage.getItem("larder-theme") ?? "auto";
for (const input of document.querySelectorAll("#theme input")) input.checked = input.value === theme;
colour(theme);
byID("theme").addEventListener("change", (event) => {
  localStorage.setItem("larder-theme", event.target.value);
  colour(event.target.value);
});

byID("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  byID("pause").setAttribute("aria-pressed", String(isPaused));
  if (isPaused) {
    events.stop();
    tell("paused", "Paused");
  }
  wake();
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) events.stop();
  wake();
});

addEventListener("hashchange", () => {
  if (view.follow()) hurry("session");
});

view.follow();
live();
