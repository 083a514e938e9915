// The case page: a note that is being written is never lost without a word.
(() => {
  "use strict";

  let unsaved = false;
  let kept = "";
  let typedInto = null;

  // For `session.js`: true where nothing would be lost. The server keeps it for this user alone, until the review is saved.
  async function keepTyped() {
    if (!unsaved) return true;
    const form = document.querySelector("form[data-keep]");
    if (!form || !form.contains(typedInto)) return false;
    const body = new URLSearchParams(new FormData(form));
    if (kept === body.toString()) return true;
    const headers = { Accept: "application/json" };
    const answer = await fetch(form.dataset.keep, { method: "POST", body, headers, keepalive: true }).catch(() => null);
    if (answer?.ok) kept = body.toString();
    return Boolean(answer?.ok);
  }

  function formOf(event) {
    return event.target.closest?.("form[data-unsaved]");
  }

  document.addEventListener("input", (event) => {
    if (!formOf(event)) return;
    unsaved = true;
    typedInto = event.target;
  });

  document.addEventListener("submit", (event) => {
    if (formOf(event)) unsaved = false;
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    const form = formOf(event);
    if (!form) return;
    const { xhr, requestConfig } = event.detail;
    const isOurs = xhr?.responseURL && new URL(xhr.responseURL).pathname === requestConfig.path;
    const arrived = isOurs && (event.detail.successful || xhr.status === 422);
    unsaved = !(arrived && event.detail.successful);
    const problem = form.querySelector("[data-part='problem']");
    if (problem) problem.hidden = Boolean(arrived);
    if (!arrived) window.portal.refreshToken();
  });

  window.addEventListener("beforeunload", (event) => {
    if (unsaved && !window.portal.leaving) event.preventDefault();
  });

  window.portal.keepTyped = keepTyped;
  document.addEventListener("DOMContentLoaded", () => {
    typedInto = document.querySelector("form[data-restored]");
    unsaved = Boolean(typedInto);
  });
})();
