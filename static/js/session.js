// The session's end: says so two minutes ahead, keeps what is being typed, and takes a patient's page off an unattended screen.
(() => {
  "use strict";

  const dialog = document.getElementById("session");
  const idleSeconds = Number(dialog.dataset.idle) || Infinity;
  const WARN_SECONDS = Math.min(120, idleSeconds / 2);
  const PING_SECONDS = Math.min(60, idleSeconds / 4);
  const part = (name) => dialog.querySelector(`[data-part="${name}"]`);
  let deadline = 0;
  let final = false;
  let dismissed = false;
  let touched = false;
  let lastPing = Date.now();

  const secondsLeft = () => Math.max(0, Math.round((deadline - Date.now()) / 1000));

  function show(seconds) {
    const text = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    if (part("countdown").textContent !== text) part("countdown").textContent = text;
  }

  function setDeadline(seconds) {
    deadline = Date.now() + seconds * 1000;
  }

  // Asking keeps nothing alive; a POST says that somebody is here. False once the session is over.
  async function ask(method = "GET") {
    const headers = { Accept: "application/json" };
    const token = document.querySelector("input[name='csrfmiddlewaretoken']");
    if (method === "POST" && token) headers["X-CSRFToken"] = token.value;
    const answer = await fetch(dialog.dataset.url, { method, headers }).catch(() => null);
    if (!answer) return true;
    if (answer.status === 401) return false;
    if (!answer.ok) return true;
    const state = await answer.json();
    setDeadline(state.seconds);
    final = state.final;
    return true;
  }

  // What was typed goes to the server, not into the browser's storage: the next one at this computer reads nothing of it.
  async function keepTyped() {
    return window.portal.keepTyped ? window.portal.keepTyped() : true;
  }

  async function leave() {
    if (!(await keepTyped()) && !window.portal.leaving) {
      document.getElementById("logged-out").hidden = false;
      dialog.close();
      stop();
      return;
    }
    window.portal.leaving = true;
    const next = encodeURIComponent(location.pathname + location.search);
    location.replace(`${dialog.dataset.login}?next=${next}&ended=1`);
  }

  async function stay() {
    touched = false;
    lastPing = Date.now();
    if (!(await ask("POST"))) leave();
    else if (secondsLeft() > WARN_SECONDS) dialog.close();
  }

  function open() {
    keepTyped();
    part("idle").hidden = final;
    part("final").hidden = !final;
    part("stay").hidden = final;
    part("close").hidden = !final;
    show(secondsLeft());
    dialog.showModal();
    part(final ? "close" : "stay").focus();
  }

  // Other tabs may have put the end off: the server knows.
  async function nearEnd() {
    if (!(await ask())) return leave();
    if (secondsLeft() > WARN_SECONDS) {
      if (dialog.open) dialog.close();
    } else if (!dialog.open && !dismissed) open();
    return undefined;
  }

  async function tick() {
    const left = secondsLeft();
    if (dialog.open) show(left);
    if (left === 0) {
      if (await ask()) {
        if (secondsLeft() === 0) leave();
      } else leave();
    } else if (left <= WARN_SECONDS && (!dialog.open || left % 10 === 0)) await nearEnd();
    else if (touched && Date.now() - lastPing > PING_SECONDS * 1000) await stay();
  }

  let timer = 0;
  let busy = false;
  function start() {
    timer = setInterval(async () => {
      if (busy) return;
      busy = true;
      await tick().finally(() => { busy = false; });
    }, 1000);
  }
  function stop() {
    clearInterval(timer);
  }

  // Typing and pointing are activity, though nothing is sent.
  for (const name of ["keydown", "pointerdown", "wheel"]) {
    document.addEventListener(name, () => { touched = !dialog.open; }, { passive: true });
  }
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    if (final) dismiss();
    else stay();
  });
  function dismiss() {
    dismissed = true;
    dialog.close();
  }
  part("stay").addEventListener("click", stay);
  part("close").addEventListener("click", dismiss);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") keepTyped();
    else if (timer) tick();
  });

  setDeadline(Number(dialog.dataset.seconds));
  start();
})();
