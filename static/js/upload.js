// The upload page: every file is sent by itself, with its own key, progress, answer and second try; three at a time.
(() => {
  "use strict";

  const { FileRow, formatSize } = window.portal;
  const MOST_AT_ONCE = 3;
  const NOTHING_SAVED = "Nothing was saved.";
  const form = document.getElementById("upload-form");
  const zone = document.getElementById("drop-zone");
  const input = form.querySelector("input[type='file']");
  const rows = document.getElementById("file-rows");
  const waiting = [];
  let running = 0;
  let held = 0; // timer of a pause that the server has asked for

  // randomUUID exists only on HTTPS and localhost; a hospital's plain-HTTP intranet has getRandomValues.
  function makeKey() {
    if (window.crypto.randomUUID) return window.crypto.randomUUID();
    const bytes = window.crypto.getRandomValues(new Uint8Array(16));
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  // A copy of what is typed now: later typing is for later files.
  function readDetails() {
    const details = new FormData(form);
    details.delete("file");
    details.delete("idempotency_key");
    return details;
  }

  function detailsAreValid() {
    const field = (name) => form.elements[name];
    const given = ["name", "birth_date", "sex"].some((name) => field(name).value.trim());
    const lacksNumber = given && !field("record_number").value.trim();
    field("record_number").setCustomValidity(lacksNumber ? "Give the record number too, or leave the patient empty." : "");
    if (!form.checkValidity()) document.getElementById("upload-details").open = true;
    return form.reportValidity();
  }

  function addFiles(files) {
    if (!files.length || !detailsAreValid()) return;
    document.getElementById("files").hidden = false;
    const fresh = [...files].map(makeJob);
    rows.prepend(...fresh.map((job) => job.row.element));
    fresh.forEach(enqueue);
    document.getElementById("files").scrollIntoView({ block: "nearest" });
  }

  function makeJob(file) {
    const job = { file, key: makeKey(), details: readDetails() };
    job.row = new FileRow(file, job.details.get("record_number").trim(), () => retry(job));
    return job;
  }

  function retry(job) {
    if (!detailsAreValid()) return;
    job.details = readDetails();
    enqueue(job);
  }

  function enqueue(job) {
    const limit = Number(form.dataset.maxBytes);
    if (job.file.size > limit) {
      const sizes = `The file has ${formatSize(job.file.size)}; this portal accepts ${form.dataset.maxMegabytes} MB at most.`;
      job.row.refused(`${sizes} ${NOTHING_SAVED}`, "TOO_LARGE");
      return;
    }
    job.row.waiting();
    waiting.push(job);
    sendNext();
  }

  function sendNext() {
    while (!held && running < MOST_AT_ONCE && waiting.length) {
      running += 1;
      send(waiting.shift());
    }
  }

  function send(job) {
    const request = new XMLHttpRequest();
    const body = new FormData();
    job.details.forEach((value, name) => body.append(name, value));
    body.append("idempotency_key", job.key);
    body.append("file", job.file, job.file.name);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) job.row.sending(event.loaded / event.total);
    });
    request.addEventListener("load", () => answer(job, request));
    request.addEventListener("error", () => {
      job.row.interrupted(`The connection broke before the file was confirmed. Try again: it will not be stored twice.`);
    });
    request.addEventListener("loadend", () => {
      running -= 1;
      sendNext();
    });
    request.open("POST", form.getAttribute("action") || location.pathname);
    request.setRequestHeader("Accept", "application/json");
    job.row.sending(0);
    request.send(body);
  }

  function parse(request) {
    if (!(request.getResponseHeader("Content-Type") || "").includes("application/json")) return null;
    try {
      return JSON.parse(request.responseText);
    } catch {
      return null;
    }
  }

  function answer(job, request) {
    const reply = parse(request);
    if (reply && (request.status === 201 || request.status === 200)) accept(job, reply);
    else if (reply && reply.code === "INVALID_FORM") job.row.interrupted(`${reply.message} ${NOTHING_SAVED}`, reply.code);
    else if (reply && request.status === 422) job.row.refused(reply.message, reply.code);
    else if (request.status === 409) renew(job, reply);
    else if (reply?.code === "RATE_LIMITED") hold(job, reply, Number(request.getResponseHeader("Retry-After")) || 60);
    else {
      if (!reply || request.status === 401) window.portal.refreshToken();
      job.row.interrupted(explain(request, reply), reply?.code || `HTTP ${request.status}`);
    }
  }

  function accept(job, reply) {
    job.row.accepted(reply);
    startPolling();
    window.portal.announce(`${job.file.name} is uploaded and waits for its analysis.`);
  }

  // Too many films at once: this one and those behind it go on by themselves when the server takes films again.
  function hold(job, reply, seconds) {
    job.row.paused(reply.message);
    waiting.unshift(job);
    clearTimeout(held);
    held = setTimeout(() => {
      held = 0;
      sendNext();
    }, 1000 * seconds);
  }

  // The key belongs to another file: the next try gets its own.
  function renew(job, reply) {
    job.key = makeKey();
    job.row.interrupted(reply?.message || NOTHING_SAVED, reply?.code || "HTTP 409");
  }

  function explain(request, reply) {
    const path = request.responseURL ? new URL(request.responseURL).pathname : "";
    if (request.status === 401 || request.status === 200 || path.startsWith("/accounts/")) {
      return `You have been logged out. ${NOTHING_SAVED} Log in again in another tab, then try again here.`;
    }
    if (request.status === 413) return `The file is larger than this portal accepts. ${NOTHING_SAVED}`;
    if (request.status === 403) return `The page had expired. ${NOTHING_SAVED} Try again; if you were logged out, log in in another tab first.`;
    return reply?.message || `The portal does not answer as it should. ${NOTHING_SAVED} Try again in a minute.`;
  }

  // One poll for all waiting films of the page; the server ends it (286) when nothing waits, a later film starts it anew.
  function startPolling() {
    if (document.getElementById("live-poll")) return;
    const poll = document.getElementById("poller").content.firstElementChild.cloneNode(true);
    poll.id = "live-poll";
    poll.addEventListener("htmx:afterRequest", (event) => {
      if (event.detail.xhr?.status !== 286) return;
      poll.remove();
      if (document.querySelector(".live")) startPolling();
    });
    rows.before(poll);
    window.htmx.process(poll);
  }

  function isBusy() {
    return running > 0 || waiting.length > 0;
  }

  function filesOf(transfer) {
    const folders = [...transfer.items].filter((item) => item.webkitGetAsEntry?.()?.isDirectory);
    if (folders.length) window.portal.announce("Folders cannot be uploaded: drop the films inside them.");
    return folders.length ? [...transfer.files].filter((file) => file.type || file.size % 4096) : [...transfer.files];
  }

  // Details stay for the next films: say under whom those will be filed, so that nobody inherits a patient unseen.
  function showPatient() {
    const [number, name] = ["record_number", "name"].map((field) => form.elements[field].value.trim());
    const hint = document.getElementById("drop-patient");
    hint.hidden = !number;
    hint.textContent = number ? `Filed under ${number}${name ? `, ${name}` : ""}` : "";
  }

  function listen() {
    form.addEventListener("input", showPatient);
    form.addEventListener("reset", () => setTimeout(showPatient));
    input.addEventListener("change", () => {
      addFiles(input.files);
      input.value = "";
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("is-over");
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) zone.classList.remove("is-over");
    });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("is-over");
      addFiles(filesOf(event.dataTransfer));
    });
    window.addEventListener("beforeunload", (event) => {
      if (isBusy()) event.preventDefault();
    });
  }

  form.classList.add("is-live");
  input.required = false;
  listen();
})();
